/* SPDX-License-Identifier: MIT */
/* What /proc/net counts of a namespace's TCP sockets: far cheaper to read than the sockets are. */
#ifndef NETNS_USAGE_H
#define NETNS_USAGE_H

#include "helper.h"

enum netns_usage_file {
	USAGE_SOCKSTAT,
	USAGE_SOCKSTAT6,
	USAGE_SNMP,
	USAGE_FILES,
};

struct netns_usage {
	int fds[USAGE_FILES]; /* -1: cannot be read */
};

/* Connections as the MIB of TCP counts them (RFC 4022). */
struct tcp_counts {
	uint64_t active_opens; /* SYNs sent */
	uint64_t passive_opens; /* handshakes that a listener completed */
	uint64_t attempt_fails;
	uint64_t resets; /* of established connections */
	uint64_t established; /* now; with those that the peer has closed */
};

void netns_usage_init(struct netns_usage *usage);
/* Opens the files of the namespace that the thread is in. */
void netns_usage_open(struct netns_usage *usage);
void netns_usage_close(struct netns_usage *usage);

/* Has it no TCP socket but in TIME_WAIT? False also where that can't be found out. */
bool netns_usage_is_none(const struct netns_usage *usage);
/* False where they cannot be read. */
bool netns_usage_counts(const struct netns_usage *usage, struct tcp_counts *counts);

#endif
