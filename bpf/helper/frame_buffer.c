// SPDX-License-Identifier: MIT
#include "frame_buffer.h"

#include <string.h>

enum frame_fit frame_buffer_add(struct frame_buffer *buffer, const void *frame)
{
	struct tt_frame header;

	memcpy(&header, frame, sizeof(header));
	if (header.length < sizeof(header) || header.length > sizeof(buffer->bytes))
		return FRAME_BAD;
	if (header.length > sizeof(buffer->bytes) - buffer->used)
		return FRAME_NO_ROOM;
	memcpy(buffer->bytes + buffer->used, frame, header.length);
	buffer->used += header.length;
	return FRAME_ADDED;
}
