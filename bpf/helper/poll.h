/* SPDX-License-Identifier: MIT */
/*
 * Tracing without BPF: snapshots of all sockets by inet_diag, and between them the kernel's notices
 * of destroyed sockets, so that connections shorter than the interval are counted too.
 */
#ifndef POLL_H
#define POLL_H

#include "helper.h"

struct poll;

struct poll_result {
	uint32_t sockets;
	uint32_t namespaces;
	bool partial;
};

/*
 * watch is told of every descriptor whose notices are to be read from now on (or no longer).
 * Returns NULL when inet_diag cannot be had, with the reason in text.
 */
struct poll *poll_open(const struct options *options, void (*watch)(int fd, bool on), char *text);

/* Reads the notices that have arrived at one of the watched descriptors. */
void poll_read_notices(struct poll *poll, int fd);
/* Takes a snapshot of all namespaces; writes LISTENER frames. flags: TT_SNAPSHOT_* */
void poll_snapshot(struct poll *poll, uint16_t flags, struct poll_result *result);
/* Writes FLOW frames for everything counted since the last drain. */
void poll_drain(struct poll *poll);
bool poll_has_notices(const struct poll *poll);
void poll_stats(const struct poll *poll, struct tt_stats_frame *stats);

#endif
