/* SPDX-License-Identifier: MIT */
/* The network namespaces of this host, each with its netlink sockets. */
#ifndef NETNS_H
#define NETNS_H

#include "table.h"
#include "helper.h"

#define NETNS_USAGE_FILES 2

struct netns {
	uint32_t inum; /* key */
	int diag_fd;
	int notice_fd; /* -1: no destroy notices here */
	int usage_fd[NETNS_USAGE_FILES]; /* its /proc/net/sockstat and sockstat6 */
	uint32_t scan; /* last scan that found it in use */
	uint32_t notices_dropped; /* so far */
	bool dumped; /* a snapshot of it has been taken */
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

/* Has it no TCP socket but in TIME_WAIT? False also where that can't be found out. */
bool netns_is_empty(const struct netns *netns);

/*
 * Calls visit with the calling thread inside each namespace of the last scan in turn. Returns how
 * many could be entered.
 */
uint32_t namespaces_enter_each(struct namespaces *namespaces, void (*visit)(void *arg), void *arg);

#endif
