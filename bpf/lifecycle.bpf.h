/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What each step in the life of a socket does to its flow; transtracer.bpf.c draws the steps. */
#ifndef LIFECYCLE_BPF_H
#define LIFECYCLE_BPF_H

#include "flow.bpf.h"

/*
 * Removes the entry of a socket and copies it out; false if there was none. Whoever removes it tells
 * its end, and nobody else: a removed entry's memory may serve another socket at once.
 */
static __always_inline bool take_socket(__u64 id, struct tt_socket *out)
{
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (!socket)
		return false;
	*out = *socket;
	return !bpf_map_delete_elem(&sockets, &id);
}

/*
 * An entry of a socket whose end was missed (the kernel skipped the program), found when its memory
 * serves another one.
 */
static __noinline void drop_stale(__u64 id)
{
	struct tt_socket stale;

	if (!take_socket(id, &stale))
		return;
	if (stale.phase == TT_COUNTED)
		TT_BUMP(&stale.key, closed, 1);
	else
		TT_COUNT(pending_resolved, 1);
}

/* A new socket's entry; one that is there is of an earlier socket. */
static __always_inline void keep_socket(__u64 id, const struct tt_socket *socket)
{
	long error = bpf_map_update_elem(&sockets, &id, socket, BPF_NOEXIST);

	if (error == -EEXIST) {
		drop_stale(id);
		error = bpf_map_update_elem(&sockets, &id, socket, BPF_ANY);
	}
	if (error)
		TT_COUNT(sockets_full, 1);
}

/* Notes a connection whose owner is not known yet. -EEXIST: it is noted already, or an earlier one. */
static __always_inline long make_pending(struct sock_ref sk, enum tt_direction direction)
{
	struct tt_socket fresh = { .phase = TT_PENDING };
	__u64 id = (__u64)sk.address;
	long error;

	fresh.peer_port = peer_port(sk);
	read_key(sk, direction, &fresh.key);
	error = bpf_map_update_elem(&sockets, &id, &fresh, BPF_NOEXIST);
	if (!error)
		TT_COUNT(pending_made, 1);
	else if (error != -EEXIST)
		TT_COUNT(sockets_full, 1);
	return error;
}

/* An active open begins in the task that will own it; later steps run wherever packets arrive. */
static __always_inline void begin_active(struct sock_ref sk, struct task_struct *task)
{
	struct tt_socket socket = { .phase = TT_CONNECTING };

	read_key(sk, TT_ACTIVE, &socket.key);
	read_owner(task, &socket.key);
	socket.peer_port = peer_port(sk);
	TT_COUNT(pending_made, 1);
	keep_socket((__u64)sk.address, &socket);
	announce(sk, task, &socket.key);
}

/*
 * The owner of a pending socket is known: from now on it counts. Where the flow map is full it stays
 * pending, and the reconcile of the next report tries again.
 */
static __always_inline void resolve_pending(struct sock_ref sk, struct task_struct *task,
					    struct tt_socket *socket)
{
	struct tt_flow_counts *counts;

	/* First of all: accept and reconcile may be at it at the same time. */
	socket->phase = TT_COUNTED;
	read_owner(task, &socket->key);
	counts = announce(sk, task, &socket->key);
	if (counts)
		counts->last_ns = bpf_ktime_get_boot_ns();
	else
		counts = counts_of(&socket->key);
	if (!counts) {
		socket->phase = TT_PENDING;
		return;
	}
	__sync_fetch_and_add(&counts->opened, 1);
	TT_COUNT(pending_resolved, 1);
}

static __noinline void count_answered(struct tt_socket *socket)
{
	__u32 phase;

	if (socket->phase != TT_CONNECTING && socket->phase != TT_UNANSWERED)
		return;
	phase = socket->phase;
	socket->phase = TT_COUNTED;
	if (count_opened(&socket->key))
		TT_COUNT(pending_resolved, 1);
	else
		socket->phase = phase; /* the reconcile of the next report tries again */
}

static __always_inline void count_accepted_dead(struct sock_ref sk, struct task_struct *task)
{
	struct tt_flow_counts *counts;
	struct tt_flow_key key;

	read_key(sk, TT_PASSIVE, &key);
	read_owner(task, &key);
	announce(sk, task, &key);
	counts = counts_of(&key);
	if (!counts)
		return;
	__sync_fetch_and_add(&counts->opened, 1);
	__sync_fetch_and_add(&counts->closed, 1);
}

static __always_inline void on_accept(struct sock_ref sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 id = (__u64)sk.address;
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (!socket && SK_READ(sk, __sk_common.skc_state) == TCP_CLOSE) {
		/* Reset while it waited in the accept queue: it will not reach CLOSE again. */
		count_accepted_dead(sk, task);
		return;
	}
	if (!socket) {
		/* Established before we were attached, or accepted before it was (TCP Fast Open). */
		make_pending(sk, TT_PASSIVE);
		socket = bpf_map_lookup_elem(&sockets, &id);
	}
	if (socket && socket->phase == TT_PENDING)
		resolve_pending(sk, task, socket);
}

/*
 * What a connect failed of. An owner may learn of some errors a moment before the socket is closed
 * (tcp_v4_err, tcp_write_err), and getsockopt(SO_ERROR) takes them away. No error left, though the
 * owner has not closed the socket, was one of these: SYNs ran out, or ICMP said no.
 */
static __always_inline int reason_of(struct sock_ref sk)
{
	int error = SK_READ(sk, sk_err);

	if (error || SK_READ(sk, sk_shutdown) == SHUTDOWN_MASK)
		return error;
	return TCP_READ(sk, total_retrans) ? ETIMEDOUT : EHOSTUNREACH;
}

static __noinline void count_failed(const struct tt_flow_key *key, int reason)
{
	struct tt_flow_counts *counts = counts_of(key);

	if (!counts)
		return;
	switch (reason) {
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

static __always_inline void on_closed(struct sock_ref sk, __u64 id, int oldstate)
{
	struct tt_socket socket;

	if (!take_socket(id, &socket)) {
		/* A connect that was not seen to begin; whose it was nobody can tell any more. */
		if (oldstate == TCP_SYN_SENT) {
			read_key(sk, TT_ACTIVE, &socket.key);
			count_failed(&socket.key, reason_of(sk));
		}
		return;
	}
	/* Answered, though the kernel skipped the program when the answer came, or had no room. */
	if (oldstate != TCP_SYN_SENT && oldstate != TCP_SYN_RECV)
		count_answered(&socket);
	else if (socket.phase == TT_CONNECTING)
		count_failed(&socket.key, reason_of(sk));
	if (socket.phase != TT_COUNTED)
		TT_COUNT(pending_resolved, 1);
	/*
	 * Reset before its owner closed it. One that still has a file was accepted, by whom is left to
	 * the listener's owner; one without was never taken from the accept queue.
	 */
	if (socket.phase == TT_PENDING && SK_READ(sk, sk_socket)) {
		TT_BUMP(&socket.key, opened, 1);
		socket.phase = TT_COUNTED;
	}
	if (socket.phase == TT_COUNTED)
		count_end(sk, &socket);
}

/*
 * An active socket without an entry was not seen to connect: the kernel skips a program while it runs
 * on the same CPU, which since it may be preempted (6.13) another task's connect does, too. Its owner
 * is then found as that of a passive one.
 */
static __always_inline void on_established(struct sock_ref sk, __u64 id, int oldstate)
{
	enum tt_direction direction = oldstate == TCP_SYN_SENT ? TT_ACTIVE : TT_PASSIVE;
	struct tt_socket *socket;

	/*
	 * A passive one is in the accept queue already: accept on another CPU may count it at any time,
	 * and what that keeps must not become pending again.
	 */
	if (direction == TT_PASSIVE && make_pending(sk, direction) != -EEXIST)
		return;
	socket = bpf_map_lookup_elem(&sockets, &id);
	if (socket && socket->phase != TT_COUNTED) {
		count_answered(socket);
		return;
	}
	/* Accepted before it is established: TCP Fast Open. */
	if (socket && socket->peer_port == peer_port(sk))
		return;
	if (socket)
		drop_stale(id);
	make_pending(sk, direction);
}

/* Has begin_active() noted this task's connect? An older entry is of a socket whose end was missed. */
static __always_inline bool is_begun(const struct tt_socket *socket)
{
	return socket && socket->phase == TT_CONNECTING &&
	       socket->key.tgid == bpf_get_current_pid_tgid() >> 32;
}

/* Has on_established(), or accept before it, noted this connection? */
static __always_inline bool is_established(const struct tt_socket *socket, struct sock_ref sk)
{
	return socket && (socket->phase == TT_PENDING ||
			  (socket->phase == TT_COUNTED && socket->peer_port == peer_port(sk)));
}

/*
 * close() or shutdown() by the owner: the last chance to learn who that is. False if the socket is not
 * known: it is older than us, or the kernel skipped the programs that would have noted it.
 */
static __always_inline bool on_local_close(struct sock_ref sk, __u64 id, int oldstate)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (!socket)
		return false;
	if (oldstate != TCP_SYN_RECV)
		count_answered(socket);
	if (socket->phase != TT_PENDING)
		return true;
	if (is_user_process(task)) {
		resolve_pending(sk, task, socket);
	} else {
		/* Closed by its owner's exit: that it was accepted is sure, by whom the listener tells. */
		socket->phase = TT_COUNTED;
		TT_BUMP(&socket->key, opened, 1);
		TT_COUNT(pending_resolved, 1);
	}
	return true;
}

static __always_inline void on_listen(struct sock_ref sk, __u16 change)
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
	bpf_ringbuf_submit(listen, BPF_RB_FORCE_WAKEUP);
}

#endif /* LIFECYCLE_BPF_H */
