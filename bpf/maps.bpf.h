/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Every map, and who inserts, deletes and reads it. */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include <bpf/bpf_helpers.h>

#include "transtracer.h"

/*
 * Sockets that are open or about to be, by address of their struct sock.
 * Inserted at connect, at establishment of a passive socket, and by the reconcile for sockets older
 * than us; changed and read by the lifecycle tracepoint; deleted when the socket reaches CLOSE
 * (which every TCP socket does).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct tt_socket);
} sockets SEC(".maps");

/*
 * Counts by flow since the last drain. Programs insert and add; the helper makes an empty map for
 * each drain and puts it in the place of the inner one (the update of an outer map waits until no
 * program uses the old one), then reads that at leisure, so that no count can fall between.
 */
struct tt_flow_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tt_flow_key);
	__type(value, struct tt_flow_counts);
};

struct tt_flow_map flows_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct tt_flow_map);
} flows SEC(".maps") = { .values = { [0] = &flows_first } };

/*
 * Flows announced already, so that a busy flow is announced once and not at every drain; and by whom,
 * for a reader who missed it: the ring was full, or an earlier helper has read it. Inserted and read
 * by programs, read by the helper; the kernel evicts: at worst a flow is announced again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tt_flow_key);
	__type(value, struct tt_identity);
} announced SEC(".maps");

/* An empty identity to insert: too large for a program's stack. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tt_identity);
} nobody SEC(".maps");

/*
 * Who listens where: gives the direction of sockets older than us. The helper replaces its contents
 * before each reconcile; only the reconcile reads it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tt_listener_key);
	__type(value, __u8);
} listeners SEC(".maps");

/* FIRST and LISTEN frames, ready to be passed on. Programs write, the helper reads. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

/*
 * When a process of a kind was last announced to a reader who was woken for it. Of one kind are those
 * that user space names alike. Programs insert and read; the kernel evicts: at worst the reader is
 * woken once more.
 */
struct tt_kind {
	__u64 cgroup_id;
	__u64 exe; /* address of the executable's dentry */
	__u32 ppid;
	__u32 uid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tt_kind);
	__type(value, __u64);
} kinds SEC(".maps");

/* FIRST frames leave the rest of the ring to LISTEN frames, which nothing else can replace. */
#define TT_RING_FOR_FIRST (3 << 18)

/* Losses and gauges. Programs add, the helper sums over the CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tt_kernel_stats);
} stats SEC(".maps");

/*
 * Room to put an executable's path together, from its end; used and left within one program run.
 * The position lives here and not in a register: so every turn of the loop looks the same to the
 * verifier, which would else follow each of its paths on its own.
 */
struct tt_path_scratch {
	char bytes[2 * TT_EXE_SIZE];
	__u32 start;
	__u32 user; /* thread whose program run wrote last */
};

/*
 * Where the kernel is preemptible (PREEMPT_LAZY too, the default since 7.0), so are programs: another
 * thread's may run on the CPU before one has ended. Threads that do so seldom share a room, and who
 * finds another's mark on it does without.
 */
#define TT_PATH_ROOMS 16

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_PATH_ROOMS);
	__type(key, __u32);
	__type(value, struct tt_path_scratch);
} path_scratch SEC(".maps");

#define TT_COUNT(field, n)                                                        \
	do {                                                                      \
		__u32 zero_ = 0;                                                  \
		struct tt_kernel_stats *s_ = bpf_map_lookup_elem(&stats, &zero_); \
		if (s_)                                                           \
			s_->field += (n);                                         \
	} while (0)

#endif /* MAPS_BPF_H */
