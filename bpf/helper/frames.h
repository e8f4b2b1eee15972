/* SPDX-License-Identifier: MIT */
/* The one ordered stream of frames to the agent, and its requests. */
#ifndef FRAMES_H
#define FRAMES_H

#include "helper.h"
#include "requests.h"

/* Appends a frame whose header is complete. Blocks while the agent does not read. */
void frames_write(const void *frame);
void frames_flush(void);

/*
 * Reads what has arrived of the agent's requests; calls handle for each complete one.
 * Returns false at end of file: the agent is gone.
 */
bool frames_read_requests(handle_request *handle, void *arg);

/* Fills a header for a frame type of fixed size. */
#define FRAME(type_, struct_, flags_) \
	((struct tt_frame){ .length = sizeof(struct_), .type = (type_), .flags = (flags_) })

#endif
