/* SPDX-License-Identifier: MIT */
/* fentry, kprobe, tracepoint, poll: the highest rung that loads, attaches and sees. */
#ifndef LADDER_H
#define LADDER_H

#include "stream.h"

/* Called for each rung that was tried: error 0 means that it works. */
typedef void rung_tried(int rung, int error, const char *text, void *arg);

/* Tries one rung, self-test included. Returns the stream, or NULL; tells in either case. */
struct stream *ladder_try(const struct options *options, int rung, rung_tried *tried, void *arg);

/* Climbs down from the highest rung that the options allow. NULL: none works. */
struct stream *ladder_climb(const struct options *options, int *rung, rung_tried *tried, void *arg);

#endif
