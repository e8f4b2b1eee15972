/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * The hooks. What they do with a socket stands in flow.bpf.h, the maps in maps.bpf.h.
 *
 *               connect()                      handshake                    close()
 *   active  --> [connect hook] CONNECTING --> [ESTABLISHED] COUNTED ----> [CLOSE] counted closed
 *                                        \--> [CLOSE] counted failed, by sk_err
 *   passive --> [ESTABLISHED] PENDING ------> [accept hook] COUNTED ----> [CLOSE] counted closed
 *                                        \--> [FIN_WAIT1, LAST_ACK: the owner closes] COUNTED
 *                                        \--> [reconcile finds its file] COUNTED
 *   older than us --> [reconcile finds its file] COUNTED, as found
 *
 * State changes run in softirq or in whoever was interrupted; only connect, accept and the two
 * transitions that tcp_close() and shutdown() make run in the owner's context.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "flow.bpf.h"

/* True on the tracepoint rung: CLOSE -> SYN_SENT stands in for the hook on tcp_connect. */
const volatile bool connect_by_state = false;

/* ---- active open: the rungs' hooks on tcp_connect (net/ipv4/tcp_output.c) ---- */

SEC("fentry/tcp_connect")
int BPF_PROG(fentry_tcp_connect, struct sock *sk)
{
	if (is_traced(sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

SEC("kprobe/tcp_connect")
int BPF_KPROBE(kprobe_tcp_connect, struct sock *sk)
{
	if (is_traced(sk))
		begin_active(sk, (struct task_struct *)bpf_get_current_task());
	return 0;
}

/* ---- passive open: the rungs' hooks on inet_csk_accept (net/ipv4/inet_connection_sock.c) ---- */

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

/* Until 6.9: inet_csk_accept(sk, flags, err, kern). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_4, struct sock *listener, int flags, int *err, bool kern,
	     struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

/* From 6.10 on (92ef0fd55ac8, "net: change proto and proto_ops accept type"). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_2, struct sock *listener, struct proto_accept_arg *arg,
	     struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(kretprobe_accept, struct sock *accepted)
{
	on_accept(accepted);
	return 0;
}

/* ---- the life of a socket, on every rung ---- */

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
		on_failed(sk, socket);
	} else if (socket->phase == TT_COUNTED) {
		count_bytes(sk, socket);
		TT_BUMP(&socket->key, closed, 1);
	}
	bpf_map_delete_elem(&sockets, &id);
}

static __always_inline void on_established(struct sock *sk, __u64 id)
{
	struct tt_socket fresh = { .phase = TT_PENDING };
	struct tt_socket *socket = bpf_map_lookup_elem(&sockets, &id);

	if (socket) {
		if (socket->phase == TT_CONNECTING) {
			socket->phase = TT_COUNTED;
			TT_BUMP(&socket->key, opened, 1);
		}
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

/*
 * Two programs on one tracepoint: the kernel skips a program that is entered again on a CPU where it
 * runs already, and a task's own transition can be interrupted by a packet's. Split by who makes the
 * transition, neither hides the other.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_by_owner, struct sock *sk, int oldstate, int newstate)
{
	__u64 id = (__u64)sk;

	switch (newstate) {
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		if (is_traced(sk))
			on_local_close(sk, id);
		break;
	case TCP_SYN_SENT:
		if (connect_by_state && is_traced(sk))
			begin_active(sk, (struct task_struct *)bpf_get_current_task());
		break;
	case TCP_LISTEN:
		if (is_traced(sk))
			on_listen(sk, TT_LISTEN_OPENED);
		break;
	case TCP_CLOSE:
		if (oldstate == TCP_LISTEN && is_traced(sk))
			on_listen(sk, TT_LISTEN_CLOSED);
		break;
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_by_packet, struct sock *sk, int oldstate, int newstate)
{
	__u64 id = (__u64)sk;

	if (newstate == TCP_ESTABLISHED) {
		if ((oldstate == TCP_SYN_SENT || oldstate == TCP_SYN_RECV) && is_traced(sk))
			on_established(sk, id);
	} else if (newstate == TCP_CLOSE) {
		if (oldstate != TCP_LISTEN && is_traced(sk))
			on_closed(sk, id);
	}
	return 0;
}

/* ---- reconcile: a pass over all open files (kernel/bpf/task_iter.c), then one over sockets ---- */

/* Set by the helper before each pass. */
__u32 reconcile_pass = 0;
/* Connected sockets seen in the pass; the helper resets and reads it. */
__u32 reconcile_sockets = 0;

static __always_inline bool listens(struct tt_listener_key *key)
{
	return bpf_map_lookup_elem(&listeners, key) != NULL;
}

/* Does somebody listen on the socket's local endpoint, by address or wildcard? */
static __always_inline bool is_local_endpoint_listened(struct sock *sk)
{
	struct tt_listener_key key = { .netns = netns_of(sk), .port = local_port(sk) };

	read_local(sk, key.local);
	if (listens(&key))
		return true;
	__builtin_memset(key.local, 0, sizeof(key.local));
	if (listens(&key))
		return true;
	map_ipv4(key.local, 0);
	return listens(&key);
}

/*
 * Did this end send the SYN? It takes a sequence number that bytes_acked counts and bytes_sent does
 * not (tcp_snd_una_update, __tcp_transmit_skb); a passive end starts behind its SYN. Exact while no
 * FIN was sent. Tells the direction where the listener is gone but its connections live.
 */
static __always_inline bool sent_syn(struct sock *sk)
{
	__u32 in_flight = TCP_READ(sk, snd_nxt) - TCP_READ(sk, snd_una);
	__u64 acked = TCP_READ(sk, bytes_acked) + in_flight;

	return acked != TCP_READ(sk, bytes_sent) - TCP_READ(sk, bytes_retrans);
}

/* task is NULL for a socket that no process's files show: it is then found without an owner. */
static __always_inline void adopt(struct sock *sk, struct task_struct *task, int state)
{
	struct tt_socket fresh = {};
	__u64 id = (__u64)sk;
	bool passive = is_local_endpoint_listened(sk) ||
		       ((state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT) && !sent_syn(sk));

	if (state == TCP_SYN_SENT)
		passive = false;
	fresh.phase = state == TCP_SYN_SENT ? TT_CONNECTING : TT_COUNTED;
	read_key(sk, passive ? TT_PASSIVE : TT_ACTIVE, &fresh.key);
	if (task)
		read_owner(task, &fresh.key);
	/* An event that comes first wins. */
	if (bpf_map_update_elem(&sockets, &id, &fresh, BPF_NOEXIST)) {
		if (!bpf_map_lookup_elem(&sockets, &id))
			TT_COUNT(sockets_full, 1);
		return;
	}
	if (task)
		announce(sk, task, &fresh.key);
	if (fresh.phase == TT_COUNTED)
		TT_BUMP(&fresh.key, found, 1);
}

static __always_inline void reconcile_connection(struct sock *sk, struct task_struct *task)
{
	int state = BPF_CORE_READ(sk, __sk_common.skc_state);
	__u64 id = (__u64)sk;
	struct tt_socket *socket;

	if (state == TCP_CLOSE || state == TCP_LISTEN || state == TCP_TIME_WAIT)
		return;
	reconcile_sockets++;
	socket = bpf_map_lookup_elem(&sockets, &id);
	if (!socket) {
		adopt(sk, task, state);
		socket = bpf_map_lookup_elem(&sockets, &id);
		if (!socket)
			return;
	}
	if (socket->phase == TT_PENDING) {
		resolve_passive(sk, task, socket);
	} else if (socket->phase == TT_CONNECTING && state != TCP_SYN_SENT &&
		   state != TCP_SYN_RECV) {
		/* The kernel skipped the program when the answer came (recursion). */
		socket->phase = TT_COUNTED;
		TT_BUMP(&socket->key, opened, 1);
	}
	if (socket->phase == TT_COUNTED)
		count_bytes(sk, socket);
}

static __always_inline void print_listener(struct seq_file *seq, struct sock *sk,
					   struct task_struct *task)
{
	struct tt_listener_frame listener = {};

	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN)
		return;
	listener.frame.length = sizeof(listener);
	listener.frame.type = TT_FRAME_LISTENER;
	listener.tgid = BPF_CORE_READ(task, tgid);
	listener.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	listener.netns = netns_of(sk);
	listener.port = local_port(sk);
	read_local(sk, listener.local);
	bpf_seq_write(seq, &listener, sizeof(listener));
}

SEC("iter/task_file")
int reconcile(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	/* bpf_sock_from_file() is not on 5.10; a socket's file keeps its struct socket here. */
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || !is_traced(sk))
		return 0;
	if (reconcile_pass == TT_PASS_LISTENERS)
		print_listener(ctx->meta->seq, sk, task);
	else if (reconcile_pass == TT_PASS_CONNECTIONS)
		reconcile_connection(sk, task);
	return 0;
}

/*
 * The rest of a namespace's sockets (net/ipv4/tcp_ipv4.c): those of the kernel itself, such as an NFS
 * mount's, and those whose descriptors are under way between processes. One in an accept queue, or
 * closed by its owner and still to be acknowledged, has no struct socket and is not ours to count.
 */
SEC("iter/tcp")
int reconcile_hidden(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = (struct sock *)ctx->sk_common;
	__u64 id = (__u64)sk;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return 0;
	if (!is_traced(sk) || !BPF_CORE_READ(sk, sk_socket))
		return 0;
	if (bpf_map_lookup_elem(&sockets, &id))
		return 0;
	reconcile_sockets++;
	adopt(sk, NULL, TCP_ESTABLISHED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
