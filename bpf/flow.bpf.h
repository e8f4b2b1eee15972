/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* From a socket to the flow it belongs to, and counting there. */
#ifndef FLOW_BPF_H
#define FLOW_BPF_H

#include "identity.bpf.h"
#include "socket.bpf.h"

/* The key but for its owner. */
static __always_inline void read_key(struct sock_ref sk, __u8 direction, struct tt_flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = netns_of(sk);
	key->direction = direction;
	key->service_port = direction == TT_ACTIVE ? peer_port(sk) : local_port(sk);
	read_local(sk, key->local);
	read_peer(sk, key->peer);
}

static __always_inline void *current_flows(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flows, &zero);
}

/*
 * The counts of a flow since the last drain; NULL, and counted as lost, when the map is full. A function
 * of its own, as are others below that are called from many places or seldom: a program that does
 * nothing with most transitions is to be small.
 */
static __noinline struct tt_flow_counts *counts_of(const struct tt_flow_key *key)
{
	struct tt_flow_counts fresh = {}, *counts;
	__u64 now = bpf_ktime_get_boot_ns();
	void *current = current_flows();

	if (!current)
		return NULL;
	counts = bpf_map_lookup_elem(current, key);
	if (!counts) {
		fresh.first_ns = now;
		bpf_map_update_elem(current, key, &fresh, BPF_NOEXIST);
		counts = bpf_map_lookup_elem(current, key);
		if (!counts) {
			TT_COUNT(flows_full, 1);
			return NULL;
		}
	}
	counts->last_ns = now;
	return counts;
}

/* False: the flow map is full, and whatever was to be counted must stay uncounted for a later try. */
static __always_inline bool count_opened(const struct tt_flow_key *key)
{
	struct tt_flow_counts *counts = counts_of(key);

	if (counts)
		__sync_fetch_and_add(&counts->opened, 1);
	return counts;
}

#define TT_BUMP(key, field, n)                                 \
	do {                                                   \
		struct tt_flow_counts *c_ = counts_of(key);    \
		if (c_)                                        \
			__sync_fetch_and_add(&c_->field, (n)); \
	} while (0)

/* Keeps who announces the flow, for readers who miss it. NULL when there is no room. */
static __always_inline const struct tt_identity *keep_identity(struct task_struct *task,
							       const struct tt_flow_key *key)
{
	struct tt_identity *kept, *empty;
	__u32 zero = 0;

	empty = bpf_map_lookup_elem(&nobody, &zero);
	if (!empty)
		return NULL;
	bpf_map_update_elem(&announced, key, empty, BPF_NOEXIST);
	kept = bpf_map_lookup_elem(&announced, key);
	if (kept)
		read_identity(task, kept);
	return kept;
}

#define TT_NEWS_NS 1000000000ull

/*
 * The reader takes its time over announcements. But /proc tells more of a process than we do, and some
 * live for milliseconds: of each kind one a second is to be read at once.
 */
static __always_inline __u64 urgency_of(struct task_struct *task,
					const struct tt_identity *identity)
{
	struct tt_kind kind = { .cgroup_id = identity->cgroup_id,
				.exe = (__u64)BPF_CORE_READ(task, mm, exe_file, f_path.dentry),
				.ppid = identity->ppid,
				.uid = identity->uid };
	__u64 now = bpf_ktime_get_boot_ns(), *told = bpf_map_lookup_elem(&kinds, &kind);

	if (told && now - *told < TT_NEWS_NS)
		return 0;
	bpf_map_update_elem(&kinds, &kind, &now, BPF_ANY);
	return BPF_RB_FORCE_WAKEUP;
}

static __noinline void announce_new(struct task_struct *task, const struct tt_flow_key *key,
				    __u16 local_port, __u16 peer_port)
{
	const struct tt_identity *identity;
	struct tt_first_frame *first;

	if (bpf_map_lookup_elem(&announced, key))
		return;
	identity = keep_identity(task, key);
	if (!identity) {
		TT_COUNT(ring_lost, 1); /* its next connection tries again */
		return;
	}
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > TT_RING_FOR_FIRST)
		return;
	first = bpf_ringbuf_reserve(&ring, sizeof(*first), 0);
	if (!first)
		return;
	first->frame.length = sizeof(*first);
	first->frame.type = TT_FRAME_FIRST;
	first->frame.flags = 0;
	first->boot_ns = bpf_ktime_get_boot_ns();
	first->key = *key;
	first->local_port = local_port;
	first->peer_port = peer_port;
	first->zero = 0;
	first->identity = *identity;
	bpf_ringbuf_submit(first, urgency_of(task, identity));
}

/*
 * Tells user space at once who is behind a flow that was not announced before. Where the ring has no
 * room the helper looks the identity up when it drains the flow. What was counted since the last drain
 * has been announced: a connect looks where it will be counted, not in one more map. Gives these counts,
 * NULL if there are none.
 */
static __always_inline struct tt_flow_counts *announce(struct sock_ref sk, struct task_struct *task,
						       const struct tt_flow_key *key)
{
	void *current = current_flows();
	struct tt_flow_counts *counts = current ? bpf_map_lookup_elem(current, key) : NULL;

	if (!counts)
		announce_new(task, key, local_port(sk), peer_port(sk));
	return counts;
}

/*
 * What a socket has moved so far. A FIN occupies one sequence number that bytes_received counts
 * (tcp_rcv_nxt_update); SOCK_DONE tells that one came.
 */
static __always_inline void read_moved(struct sock_ref sk, struct tt_moved *moved)
{
	moved->bytes_sent = TCP_READ(sk, bytes_sent) - TCP_READ(sk, bytes_retrans);
	moved->bytes_received = TCP_READ(sk, bytes_received);
	moved->retransmits = TCP_READ(sk, total_retrans);
	if (moved->bytes_received && (SK_READ(sk, __sk_common.skc_flags) & (1UL << SOCK_DONE)))
		moved->bytes_received--;
}

static __always_inline void add_moved(struct tt_flow_counts *counts, const struct tt_moved *from,
				      const struct tt_moved *to)
{
	__sync_fetch_and_add(&counts->bytes_sent, to->bytes_sent - from->bytes_sent);
	__sync_fetch_and_add(&counts->bytes_received, to->bytes_received - from->bytes_received);
	__sync_fetch_and_add(&counts->retransmits, to->retransmits - from->retransmits);
}

static __always_inline bool has_moved(const struct tt_moved *from, const struct tt_moved *to)
{
	return to->bytes_sent > from->bytes_sent || to->bytes_received > from->bytes_received ||
	       to->retransmits > from->retransmits;
}

/* Adds what a socket moved since it was last reported; it is at its end, and its entry taken. */
static __always_inline void count_end(struct sock_ref sk, const struct tt_socket *taken)
{
	struct tt_flow_counts *counts = counts_of(&taken->key);
	struct tt_moved moved = {};

	if (!counts)
		return;
	read_moved(sk, &moved);
	if (has_moved(&taken->reported, &moved))
		add_moved(counts, &taken->reported, &moved);
	__sync_fetch_and_add(&counts->closed, 1);
}

/*
 * The same of one that is open. It may end meanwhile on another CPU: who takes its entry adds all that
 * the entry does not say to be reported. So what takes time comes first, then a look for the entry,
 * which may be gone, and what is added is said before it is added. What is said while the entry is
 * copied out (take_socket) is still added twice; to claim it for one of the two takes an exchange (5.12).
 */
static __always_inline void count_moved(struct sock_ref sk, struct tt_socket *socket)
{
	struct tt_moved moved = {}, before;
	struct tt_flow_counts *counts;
	__u64 id = (__u64)sk.address;

	read_moved(sk, &moved);
	if (!has_moved(&socket->reported, &moved))
		return;
	counts = counts_of(&socket->key);
	if (!counts)
		return;
	socket = bpf_map_lookup_elem(&sockets, &id);
	if (!socket)
		return;
	before = socket->reported;
	socket->reported = moved;
	barrier();
	add_moved(counts, &before, &moved);
}

#endif /* FLOW_BPF_H */
