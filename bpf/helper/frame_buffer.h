/* SPDX-License-Identifier: MIT */
/* Frames that wait to be written. No I/O. */
#ifndef FRAME_BUFFER_H
#define FRAME_BUFFER_H

#include "helper.h"

struct frame_buffer {
	unsigned char bytes[64 * 1024];
	size_t used;
};

enum frame_fit {
	FRAME_ADDED,
	FRAME_NO_ROOM, /* until what waits was written */
	FRAME_BAD, /* its length cannot be that of a frame */
};

/* Appends a frame whose header is complete, or leaves all as it is. */
enum frame_fit frame_buffer_add(struct frame_buffer *buffer, const void *frame);

#endif
