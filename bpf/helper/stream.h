/* SPDX-License-Identifier: MIT */
/* The BPF side of the helper: one object, loaded and attached for one rung of the ladder. */
#ifndef STREAM_H
#define STREAM_H

#include "helper.h"

struct stream;

struct stream_result {
	uint32_t sockets; /* connected sockets a reconcile looked at */
	uint32_t namespaces; /* it looked into */
	bool reconciled;
	bool partial;
};

/*
 * Loads and attaches the programs of a rung. Returns 0, or an errno with the reason in text
 * (TT_TEXT_SIZE bytes). *stream is NULL on failure.
 */
int stream_open(const struct options *options, int rung, struct stream **stream, char *text);
void stream_close(struct stream *stream);

/*
 * Readable while there are announcements to read. Whoever waits for edges is woken by the first after
 * all were read, and by each that can't wait.
 */
int stream_fd(const struct stream *stream);
/* Passes announcements on as frames. */
void stream_read(struct stream *stream);

/*
 * Writes LISTENER frames for every listening socket and accounts for every connected one, by the
 * files of all processes and then by the sockets of all namespaces.
 */
void stream_reconcile(struct stream *stream, struct stream_result *result);
/*
 * Writes FLOW frames for everything counted since the last drain; the first time, also for what an
 * earlier helper left. Returns the latest generation told.
 */
uint64_t stream_drain(struct stream *stream);
/* Generations up to this one need not be kept any more. */
void stream_acknowledge(struct stream *stream, uint64_t generation);
/* Generations up to this one were not kept although nobody acknowledged them. */
uint64_t stream_dropped(const struct stream *stream);
/* Are there passive sockets whose owner is yet to be found? */
bool stream_has_pending(struct stream *stream);
bool stream_is_adopted(const struct stream *stream);
void stream_stats(struct stream *stream, struct tt_stats_frame *stats);

/*
 * Takes out of what was counted so far what take returns true for; the rest is told with the first
 * drain. For the self-test.
 */
void stream_take(struct stream *stream,
		 bool (*take)(const struct tt_flow_key *, const struct tt_flow_counts *, void *),
		 void *arg);
/* Forgets announcements read so far; for the self-test. */
void stream_discard(struct stream *stream);

#endif
