/* SPDX-License-Identifier: MIT */
/*
 * What the kernel side, the helper and the agent agree on: map layouts and the frames of the
 * helper's stdout. All integers are in host byte order (both ends share one machine), ports too.
 *
 * Addresses are always 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2): a mapped IPv6 socket
 * and an IPv4 socket at the two ends of one connection are then equal without any folding.
 *
 * The offsets asserted below are what src/bpf-ts-loader/layout.ts reads; change both and raise
 * TT_ABI_VERSION.
 */
#ifndef TRANSTRACER_H
#define TRANSTRACER_H

#ifdef __BPF__
#include "kernel_types.h"
#else
#include <linux/types.h>
#endif

#define TT_ABI_VERSION	2

#define TT_COMM_SIZE	16
#define TT_EXE_SIZE	256
#define TT_RELEASE_SIZE 64
#define TT_TEXT_SIZE	256

enum tt_direction {
	TT_DIRECTION_UNKNOWN = 0,
	TT_ACTIVE = 1, /* the local process connects */
	TT_PASSIVE = 2, /* the local process accepts */
};

/* How a count came to be known; kept in tt_frame.flags of TT_FRAME_FLOW. */
enum tt_found_by {
	TT_BY_STREAM = 1,
	TT_BY_SNAPSHOT = 2,
	TT_BY_DESTROY = 4,
};

/*
 * One flow: all connections of one process to (or at) one service endpoint. Ephemeral ports are
 * folded away (paper, section 3.1).
 */
struct tt_flow_key {
	__u64 start_ns; /* start of the thread group, boot time; 0 with tgid 0 */
	__u32 tgid; /* 0: not known; a passive flow is then named by its listener's owner */
	__u32 netns; /* inode number of the network namespace */
	__u8 local[16];
	__u8 peer[16];
	__u16 service_port; /* peer's port of an active flow, local port of a passive one */
	__u8 direction; /* enum tt_direction */
	__u8 zero[5];
};

/* What happened in a flow since its previous report: deltas, never totals. */
struct tt_flow_counts {
	__u64 first_ns; /* boot time of the first and last thing counted here */
	__u64 last_ns;
	__u64 bytes_sent; /* payload, by the local end; retransmissions not counted twice */
	__u64 bytes_received;
	__u32 opened; /* connections seen to open */
	__u32 found; /* connections found open by a snapshot, opened before anyone watched */
	__u32 closed; /* of either kind */
	__u32 refused; /* connects that failed, by reason */
	__u32 timed_out;
	__u32 unreachable;
	__u32 failed_other;
	__u32 retransmits;
};

/* Enough to name a process that is gone by the time anyone looks. */
struct tt_identity {
	__u64 start_ns;
	__u64 cgroup_id; /* cgroup v2 */
	__u32 tgid;
	__u32 ppid;
	__u32 pgid;
	__u32 uid; /* effective */
	char comm[TT_COMM_SIZE]; /* of the thread-group leader */
	char exe[TT_EXE_SIZE]; /* absolute path; empty if unknown or too long */
};

enum tt_phase {
	TT_CONNECTING = 1, /* active open begun: owner known, no answer yet */
	TT_PENDING = 2, /* established, owner not known yet: not counted. Passive, but for misses */
	TT_COUNTED = 3, /* counted under its key */
	TT_UNANSWERED = 4, /* active open counted as timed out, though the kernel still tries */
};

struct tt_moved {
	__u64 bytes_sent;
	__u64 bytes_received;
	__u32 retransmits;
	__u32 zero;
};

struct tt_socket {
	struct tt_flow_key key;
	struct tt_moved reported; /* so far */
	__u32 phase; /* enum tt_phase */
	__u32 peer_port; /* tells a socket from a later one in the same memory */
};

/* Loss that the kernel side knows of, and the gauge that tells when a reconcile is due. Absolute. */
struct tt_kernel_stats {
	__u64 ring_lost; /* announcements that found no room */
	__u64 flows_full; /* counts that found the flow map full */
	__u64 sockets_full; /* sockets that found the socket map full */
	__u64 pending_made; /* connects begun, and passive sockets whose owner is not yet known */
	__u64 pending_resolved; /* ... of which got their answer or owner, or went away */
};

/* A connect whose SYN was sent again this often counts as timed out. */
#define TT_UNANSWERED_RETRANSMITS 2

/* What one run of the reconcile program does. */
enum tt_pass {
	/* Print the owners of listening sockets, account for connected sockets that are known. */
	TT_PASS_KNOWN = 1,
	TT_PASS_CONNECTIONS = 2, /* account for all connected sockets; needs the listeners */
};

/* Key of the map that gives the reconcile its listening endpoints. */
struct tt_listener_key {
	__u8 local[16];
	__u32 netns;
	__u32 port;
};

/* ---- frames: header, then the payload of its type ---- */

struct tt_frame {
	__u32 length; /* of header and payload, bytes */
	__u16 type; /* enum tt_frame_type */
	__u16 flags;
};

enum tt_frame_type {
	/* helper -> agent */
	TT_FRAME_HELLO = 1,
	TT_FRAME_RUNG = 2,
	TT_FRAME_FIRST = 3,
	TT_FRAME_FLOW = 4,
	TT_FRAME_LISTEN = 5,
	TT_FRAME_LISTENER = 6,
	TT_FRAME_STATS = 7,
	TT_FRAME_DONE = 8,
	TT_FRAME_GENERATION = 9,
	/* agent -> helper */
	TT_REQUEST_DRAIN = 64, /* report flow counts and stats */
	TT_REQUEST_SNAPSHOT = 65, /* reconcile with the sockets that exist, then as DRAIN */
	TT_REQUEST_ACKNOWLEDGE =
		66, /* generations up to request_id are kept elsewhere; no answer */
};

enum tt_rung {
	TT_RUNG_POLL = 0,
	TT_RUNG_TRACEPOINT = 1,
	TT_RUNG_KPROBE = 2,
	TT_RUNG_FENTRY = 3,
};

enum tt_feature {
	TT_FEATURE_DESTROY_NOTICES = 1,
	TT_FEATURE_ALL_NETNS = 2,
	TT_FEATURE_PINNED = 4, /* programs and counts outlive the helper */
	TT_FEATURE_ADOPTED = 8, /* ... and those of an earlier helper were taken over */
};

/* First frame of a helper. boot_ns and wall_ns are read at the same moment. */
struct tt_hello {
	struct tt_frame frame;
	__u32 abi_version;
	__u32 rung; /* enum tt_rung in use */
	__u64 boot_ns;
	__u64 wall_ns;
	__u32 pid;
	__u32 netns; /* the helper's own */
	__u32 features; /* bits of enum tt_feature */
	__u16 flow_frame_size; /* sizes of the structs below: a second guard of the ABI */
	__u16 first_frame_size;
	__u16 listen_frame_size;
	__u16 stats_frame_size;
	__u16 done_frame_size;
	__u16 zero;
	char release[TT_RELEASE_SIZE];
	__u64 set_id; /* names the series of generations; 0: nothing is pinned */
	__u64 dropped_generation; /* generations up to this one found no room to be kept */
};

/* One step of the attach ladder that was tried; before HELLO's rung is final all steps are sent. */
struct tt_rung_frame {
	struct tt_frame frame;
	__u32 rung;
	__s32 error; /* 0: in use; else errno */
	char text[TT_TEXT_SIZE];
};

/*
 * The FLOW frames that follow belong to this generation: what was counted between two drains, kept in
 * the kernel until it is acknowledged. A helper that takes over tells again all that was not.
 */
struct tt_generation_frame {
	struct tt_frame frame; /* flags: TT_GENERATION_FRESH */
	__u64 generation; /* 1, 2, ...; 0: of none, as in poll mode */
};

/* The first that newly attached programs counted: it may find what earlier ones counted already. */
#define TT_GENERATION_FRESH 1

/* First sighting of a flow: names its process. Counts follow in FLOW frames. */
struct tt_first_frame {
	struct tt_frame frame;
	__u64 boot_ns;
	struct tt_flow_key key;
	struct tt_identity identity;
	__u16 local_port; /* of this first connection; 0 while the kernel has not chosen one */
	__u16 peer_port;
	__u32 zero;
};

struct tt_flow_frame {
	struct tt_frame frame; /* flags: bits of enum tt_found_by */
	struct tt_flow_key key;
	struct tt_flow_counts counts;
};

enum tt_listen_change {
	TT_LISTEN_OPENED = 1,
	TT_LISTEN_CLOSED = 2,
};

/* A process began or ceased to listen, told by the kernel as it happens. */
struct tt_listen_frame {
	struct tt_frame frame; /* flags: enum tt_listen_change */
	__u64 boot_ns;
	__u8 local[16];
	__u32 netns;
	__u16 port;
	__u16 zero;
	struct tt_identity identity; /* who called listen(); all zero when closed */
};

/*
 * One owner of one listening socket, from a snapshot. A pre-forked server has several owners, so
 * several of these; an owner-less socket has one with tgid 0.
 */
struct tt_listener_frame {
	struct tt_frame frame; /* flags: TT_LISTENER_* */
	__u64 start_ns;
	__u32 tgid;
	__u32 netns;
	__u8 local[16];
	__u16 port;
	__u8 zero[6];
};

/* The owner had children that could accept, too. Looked for where something is counted without its
 * process, which the owner would then stand for. */
#define TT_LISTENER_SHARED 1

/* Absolute since the programs were attached, or (the last three) since the helper's start. */
struct tt_stats_frame {
	struct tt_frame frame;
	__u64 ring_lost;
	__u64 flows_full;
	__u64 sockets_full;
	__u64 missed_probes; /* hook executions the kernel skipped */
	__u64 notices_lost; /* overruns of the destroy-notice buffer, and notices wiped of their port */
	__u64 vanished; /* processes that went away in mid-scan */
	__u64 namespaces_failed; /* network namespaces that could not be entered */
};

/* Ends the answer to a request. */
struct tt_done_frame {
	struct tt_frame frame; /* flags: TT_DONE_* */
	__u64 request_id;
	__u64 boot_ns;
	__u64 wall_ns;
	__u32 sockets; /* looked at */
	__u32 namespaces; /* looked into */
	__u64 generation; /* the latest one told; 0 in poll mode */
};

#define TT_DONE_SNAPSHOT 1 /* LISTENER frames before this one are the complete set */
#define TT_DONE_PARTIAL	 2 /* something could not be read: the set is not complete */

/* Flags of TT_REQUEST_SNAPSHOT. Look for the owners of all listening sockets anew, not only of new
 * ones. Matters where owners come from /proc, which is dear to read. */
#define TT_SNAPSHOT_OWNERS 1
/* The helper ends after it: what the next one would tell better is told now. */
#define TT_SNAPSHOT_LAST 2

struct tt_request {
	struct tt_frame frame;
	__u64 request_id; /* of TT_REQUEST_ACKNOWLEDGE: a generation */
};

#define TT_OFFSET(type, field, offset) \
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)

_Static_assert(sizeof(struct tt_flow_key) == 56, "tt_flow_key");
_Static_assert(sizeof(struct tt_flow_counts) == 64, "tt_flow_counts");
_Static_assert(sizeof(struct tt_identity) == 304, "tt_identity");
_Static_assert(sizeof(struct tt_frame) == 8, "tt_frame");
_Static_assert(sizeof(struct tt_hello) == 136, "tt_hello");
_Static_assert(sizeof(struct tt_rung_frame) == 272, "tt_rung_frame");
_Static_assert(sizeof(struct tt_first_frame) == 384, "tt_first_frame");
_Static_assert(sizeof(struct tt_flow_frame) == 128, "tt_flow_frame");
_Static_assert(sizeof(struct tt_listen_frame) == 344, "tt_listen_frame");
_Static_assert(sizeof(struct tt_listener_frame) == 48, "tt_listener_frame");
_Static_assert(sizeof(struct tt_stats_frame) == 64, "tt_stats_frame");
_Static_assert(sizeof(struct tt_done_frame) == 48, "tt_done_frame");
_Static_assert(sizeof(struct tt_generation_frame) == 16, "tt_generation_frame");
_Static_assert(sizeof(struct tt_request) == 16, "tt_request");

TT_OFFSET(tt_flow_key, local, 16);
TT_OFFSET(tt_flow_key, peer, 32);
TT_OFFSET(tt_flow_key, service_port, 48);
TT_OFFSET(tt_flow_key, direction, 50);
TT_OFFSET(tt_flow_counts, opened, 32);
TT_OFFSET(tt_flow_counts, retransmits, 60);
TT_OFFSET(tt_identity, comm, 32);
TT_OFFSET(tt_identity, exe, 48);
TT_OFFSET(tt_hello, boot_ns, 16);
TT_OFFSET(tt_hello, pid, 32);
TT_OFFSET(tt_hello, flow_frame_size, 44);
TT_OFFSET(tt_hello, release, 56);
TT_OFFSET(tt_hello, set_id, 120);
TT_OFFSET(tt_hello, dropped_generation, 128);
TT_OFFSET(tt_generation_frame, generation, 8);
TT_OFFSET(tt_rung_frame, text, 16);
TT_OFFSET(tt_first_frame, key, 16);
TT_OFFSET(tt_first_frame, identity, 72);
TT_OFFSET(tt_first_frame, local_port, 376);
TT_OFFSET(tt_flow_frame, key, 8);
TT_OFFSET(tt_flow_frame, counts, 64);
TT_OFFSET(tt_listen_frame, local, 16);
TT_OFFSET(tt_listen_frame, netns, 32);
TT_OFFSET(tt_listen_frame, port, 36);
TT_OFFSET(tt_listen_frame, identity, 40);
TT_OFFSET(tt_listener_frame, tgid, 16);
TT_OFFSET(tt_listener_frame, local, 24);
TT_OFFSET(tt_listener_frame, port, 40);
TT_OFFSET(tt_done_frame, sockets, 32);
TT_OFFSET(tt_done_frame, generation, 40);

#endif /* TRANSTRACER_H */
