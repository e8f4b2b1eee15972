/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What each step in the life of a socket does to its flow; transtracer.bpf.c draws the steps. */
#ifndef LIFECYCLE_BPF_H
#define LIFECYCLE_BPF_H

#include "flow.bpf.h"

static __always_inline void keep_socket(struct sock *sk, const struct tt_socket *socket)
{
	__u64 id = (__u64)sk;

	if (bpf_map_update_elem(&sockets, &id, socket, BPF_ANY))
		TT_COUNT(sockets_full, 1);
}

/* An active open begins in the task that will own it; later steps run wherever packets arrive. */
static __always_inline void begin_active(struct sock *sk, struct task_struct *task)
{
	struct tt_socket socket = { .phase = TT_CONNECTING };

	read_key(sk, TT_ACTIVE, &socket.key);
	read_owner(task, &socket.key);
	TT_COUNT(pending_made, 1);
	keep_socket(sk, &socket);
	announce(sk, task, &socket.key);
}

/* The owner of a passive socket is known: from now on it counts. */
static __always_inline void resolve_passive(struct sock *sk, struct task_struct *task,
					    struct tt_socket *socket)
{
	read_owner(task, &socket->key);
	socket->phase = TT_COUNTED;
	announce(sk, task, &socket->key);
	TT_BUMP(&socket->key, opened, 1);
	TT_COUNT(pending_resolved, 1);
}

static __always_inline void count_answered(struct tt_socket *socket)
{
	if (socket->phase != TT_CONNECTING && socket->phase != TT_UNANSWERED)
		return;
	socket->phase = TT_COUNTED;
	TT_BUMP(&socket->key, opened, 1);
	TT_COUNT(pending_resolved, 1);
}

static __always_inline void on_accept(struct sock *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct tt_socket fresh = { .phase = TT_PENDING }, *socket;
	__u64 id = (__u64)sk;

	if (!sk || !is_traced(sk))
		return;
	socket = bpf_map_lookup_elem(&sockets, &id);
	if (!socket) {
		/* Established before we were attached, or accepted before it was (TCP Fast Open). */
		read_key(sk, TT_PASSIVE, &fresh.key);
		TT_COUNT(pending_made, 1);
		keep_socket(sk, &fresh);
		socket = bpf_map_lookup_elem(&sockets, &id);
	}
	if (socket && socket->phase == TT_PENDING)
		resolve_passive(sk, task, socket);
}

static __always_inline void on_failed(struct sock *sk, struct tt_socket *socket)
{
	struct tt_flow_counts *counts = counts_of(&socket->key);

	if (!counts)
		return;
	switch (BPF_CORE_READ(sk, sk_err)) {
	case ECONNREFUSED:
		__sync_fetch_and_add(&counts->refused, 1);
		break;
	case ETIMEDOUT:
		__sync_fetch_and_add(&counts->timed_out, 1);
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
		__sync_fetch_and_add(&counts->unreachable, 1);
		break;
	default:
		__sync_fetch_and_add(&counts->failed_other, 1);
	}
}

static __always_inline void on_closed(struct sock *sk, __u64 id)
{
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (!socket)
		return;
	if (socket->phase == TT_PENDING) {
		/*
		 * Reset before its owner closed it. One that still has a file was accepted, by whom is
		 * left to the listener's owner; one without was never taken from the accept queue.
		 */
		TT_COUNT(pending_resolved, 1);
		if (BPF_CORE_READ(sk, sk_socket)) {
			TT_BUMP(&socket->key, opened, 1);
			socket->phase = TT_COUNTED;
		}
	}
	if (socket->phase == TT_CONNECTING) {
		TT_COUNT(pending_resolved, 1);
		on_failed(sk, socket);
	} else if (socket->phase == TT_UNANSWERED) {
		TT_COUNT(pending_resolved, 1);
	} else if (socket->phase == TT_COUNTED) {
		count_moved(sk, socket);
		TT_BUMP(&socket->key, closed, 1);
	}
	bpf_map_delete_elem(&sockets, &id);
}

static __always_inline void on_established(struct sock *sk, __u64 id)
{
	struct tt_socket fresh = { .phase = TT_PENDING };
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (socket) {
		count_answered(socket);
		return;
	}
	read_key(sk, TT_PASSIVE, &fresh.key);
	TT_COUNT(pending_made, 1);
	keep_socket(sk, &fresh);
}

/* close() or shutdown() by the owner: the last chance to learn who that is. */
static __always_inline void on_local_close(struct sock *sk, __u64 id)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (!socket || socket->phase != TT_PENDING)
		return;
	if (is_user_process(task)) {
		resolve_passive(sk, task, socket);
	} else {
		/* Closed by its owner's exit: that it was accepted is sure, by whom the listener tells. */
		socket->phase = TT_COUNTED;
		TT_BUMP(&socket->key, opened, 1);
		TT_COUNT(pending_resolved, 1);
	}
}

static __always_inline void on_listen(struct sock *sk, __u16 change)
{
	struct tt_listen_frame *listen = bpf_ringbuf_reserve(&ring, sizeof(*listen), 0);

	if (!listen) {
		TT_COUNT(ring_lost, 1);
		return;
	}
	listen->frame.length = sizeof(*listen);
	listen->frame.type = TT_FRAME_LISTEN;
	listen->frame.flags = change;
	listen->boot_ns = bpf_ktime_get_boot_ns();
	read_local(sk, listen->local);
	listen->netns = netns_of(sk);
	listen->port = local_port(sk);
	listen->zero = 0;
	if (change == TT_LISTEN_OPENED)
		read_identity((struct task_struct *)bpf_get_current_task(), &listen->identity);
	else
		__builtin_memset(&listen->identity, 0, sizeof(listen->identity));
	bpf_ringbuf_submit(listen, 0);
}

#endif /* LIFECYCLE_BPF_H */
