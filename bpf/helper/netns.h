/* SPDX-License-Identifier: MIT */
/* The network namespaces of this host, each with its netlink sockets. */
#ifndef NETNS_H
#define NETNS_H

#include "netns_usage.h"
#include "table.h"
#include "helper.h"

struct netns {
	uint32_t inum; /* key */
	int diag_fd;
	int notice_fd; /* -1: no destroy notices here */
	struct netns_usage usage;
	uint32_t scan; /* last scan that found it in use */
	uint32_t notices_dropped; /* so far */
	bool dumped; /* a snapshot of it has been taken */
	/* ---- what the next dump could show that none has shown, see poll_dump.c ---- */
	struct tcp_counts counts; /* before the latest snapshot */
	uint64_t counts_ns; /* when they were first seen to be these */
	uint32_t sockets; /* in the latest dump, without listening ones */
	uint32_t unresolved; /* of these */
	bool all_shown; /* by a dump long enough after the counts had moved */
	bool overrun; /* notices were lost since the latest dump */
	bool left_out; /* the current snapshot does without a dump of it */
	char path[64]; /* names it, as long as whoever was found in it lives */
};

struct namespaces {
	struct table table; /* of struct netns */
	bool own_only;
	uint32_t notice_bytes; /* queue of each notice socket */
	uint32_t scan;
	uint64_t failed; /* namespaces that could not be entered, in all */
	bool without_sockets; /* only keep track of namespaces: no netlink sockets in them */
	/* Told of every notice socket that was opened or is about to be closed. */
	void (*on_notice_fd)(const struct netns *netns, bool opened, void *arg);
	void *arg;
};

void namespaces_init(struct namespaces *namespaces, bool own_only);
/*
 * Finds namespaces by /proc/PID/ns/net and the mounts under /run/netns, opens sockets in new ones
 * and closes those of namespaces nobody uses any more: an open socket alone would keep one alive.
 * False: /proc could not be listed, and the namespaces known before were kept.
 */
bool namespaces_scan(struct namespaces *namespaces);

/*
 * Calls visit with the calling thread inside each namespace of the last scan in turn. Returns how
 * many could be entered.
 */
uint32_t namespaces_enter_each(struct namespaces *namespaces, void (*visit)(void *arg), void *arg);

#endif
