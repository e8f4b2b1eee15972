/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Accounts for sockets that exist: those older than us, and those whose owner no event told. */
#ifndef RECONCILE_BPF_H
#define RECONCILE_BPF_H

#include "lifecycle.bpf.h"

/* Set by the helper before each pass. */
__u32 reconcile_pass = 0;
/* Connected sockets seen in the pass; the helper resets and reads it. */
__u32 reconcile_sockets = 0;
/* Those of them that a TT_PASS_KNOWN left alone; the helper resets and reads it. */
__u32 reconcile_unknown = 0;

static __always_inline bool listens(struct tt_listener_key *key)
{
	return bpf_map_lookup_elem(&listeners, key) != NULL;
}

/* Does somebody listen on the socket's local endpoint, by address or wildcard? */
static __always_inline bool is_local_endpoint_listened(struct sock_ref sk)
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
static __always_inline bool sent_syn(struct sock_ref sk)
{
	__u32 in_flight = TCP_READ(sk, snd_nxt) - TCP_READ(sk, snd_una);
	__u64 acked = TCP_READ(sk, bytes_acked) + in_flight;

	return acked != TCP_READ(sk, bytes_sent) - TCP_READ(sk, bytes_retrans);
}

/*
 * Is the connection at its end? Its last event may then have come and taken its entry, though the
 * kernel stores the state only after it told (inet_sk_state_store); what ends a connection, an error
 * or the second of two shutdowns, is noted before.
 */
static __always_inline bool is_over(struct sock_ref sk)
{
	return SK_READ(sk, __sk_common.skc_state) == TCP_CLOSE ||
	       SK_READ(sk, sk_shutdown) == SHUTDOWN_MASK || SK_READ(sk, sk_err);
}

/*
 * task is NULL for a socket that no process's files show: it is then found without an owner. address and
 * typed are a sock_ref: functions of programs take no structs.
 */
static __noinline void adopt(struct sock *address, struct tcp_sock *typed, struct task_struct *task,
			     int state)
{
	struct sock_ref sk = { .address = address, .typed = typed };
	struct tt_socket fresh = {};
	struct tt_flow_counts *counts;
	__u64 id = (__u64)sk.address;
	bool passive = is_local_endpoint_listened(sk) ||
		       ((state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT) && !sent_syn(sk));

	/* After the look for its entry: one that has just ended was counted, and is not to be found anew. */
	if (is_over(sk))
		return;
	if (state == TCP_SYN_SENT)
		passive = false;
	fresh.phase = state == TCP_SYN_SENT ? TT_CONNECTING : TT_COUNTED;
	fresh.peer_port = peer_port(sk);
	read_key(sk, passive ? TT_PASSIVE : TT_ACTIVE, &fresh.key);
	if (task)
		read_owner(task, &fresh.key);
	/* What it moved before is not of this time, and a helper before us may have told it. */
	read_moved(sk, &fresh.reported);
	/* An event that comes first wins. */
	if (bpf_map_update_elem(&sockets, &id, &fresh, BPF_NOEXIST)) {
		if (!bpf_map_lookup_elem(&sockets, &id))
			TT_COUNT(sockets_full, 1);
		return;
	}
	if (task)
		announce(sk, task, &fresh.key);
	if (fresh.phase == TT_CONNECTING)
		TT_COUNT(pending_made, 1);
	if (fresh.phase == TT_COUNTED) {
		counts = counts_of(&fresh.key);
		if (!counts) {
			bpf_map_delete_elem(&sockets, &id); /* for the next reconcile to find */
			return;
		}
		__sync_fetch_and_add(&counts->found, 1);
	}
	/* It may have closed before the entry was there, and will then not close again. */
	if (is_over(sk))
		drop_stale(id);
}

/* As on_local_close; one that is older than us is adopted while its owner can be told. */
static __always_inline void on_owner_close(struct sock_ref sk, __u64 id, int oldstate)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (!on_local_close(sk, id, oldstate))
		adopt(sk.address, sk.typed, is_user_process(task) ? task : NULL, oldstate);
}

/*
 * The kernel goes on trying for two minutes (tcp_syn_retries); whoever asks meanwhile should see that
 * nobody answers. The second retransmission of a SYN is due three seconds after the first SYN.
 */
static __always_inline void count_unanswered(struct sock_ref sk, struct tt_socket *socket)
{
	if (socket->phase != TT_CONNECTING ||
	    TCP_READ(sk, total_retrans) < TT_UNANSWERED_RETRANSMITS)
		return;
	socket->phase = TT_UNANSWERED;
	TT_BUMP(&socket->key, timed_out, 1);
}

static __always_inline void reconcile_known(struct sock_ref sk, struct task_struct *task,
					    struct tt_socket *socket, int state)
{
	if (socket->phase == TT_PENDING) {
		resolve_pending(sk, task, socket);
	} else if (state == TCP_SYN_SENT) {
		count_unanswered(sk, socket);
	} else if (state != TCP_SYN_RECV) {
		/* In case the kernel skipped the program when the answer came (recursion). */
		count_answered(socket);
	}
	if (socket->phase == TT_COUNTED)
		count_moved(sk, socket);
}

static __always_inline bool is_connected(int state)
{
	return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_TIME_WAIT;
}

static __always_inline void reconcile_unknown_socket(struct sock_ref sk, struct task_struct *task,
						     int state)
{
	struct tt_socket *socket;
	__u64 id = (__u64)sk.address;

	reconcile_sockets++;
	if (reconcile_pass != TT_PASS_CONNECTIONS) {
		if (!is_over(sk))
			reconcile_unknown++;
		return;
	}
	adopt(sk.address, sk.typed, task, state);
	socket = bpf_map_lookup_elem(&sockets, &id);
	if (socket)
		reconcile_known(sk, task, socket, state);
}

static __always_inline void print_listener(struct seq_file *seq, struct sock_ref sk,
					   struct task_struct *task)
{
	struct tt_listener_frame listener = {};

	listener.frame.length = sizeof(listener);
	listener.frame.type = TT_FRAME_LISTENER;
	listener.tgid = BPF_CORE_READ(task, tgid);
	listener.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	listener.netns = netns_of(sk);
	listener.port = local_port(sk);
	read_local(sk, listener.local);
	bpf_seq_write(seq, &listener, sizeof(listener));
}

#endif /* RECONCILE_BPF_H */
