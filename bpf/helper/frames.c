// SPDX-License-Identifier: MIT
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame_buffer.h"

static struct frame_buffer out;

void frames_flush(void)
{
	size_t done = 0;

	while (done < out.used) {
		ssize_t n = write(STDOUT_FILENO, out.bytes + done, out.used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			exit(EXIT_OK); /* nobody is left to report to */
		if (n < 0)
			die("cannot write frames: %s", strerror(errno));
		done += (size_t)n;
	}
	out.used = 0;
}

void frames_write(const void *frame)
{
	enum frame_fit fit = frame_buffer_add(&out, frame);

	if (fit == FRAME_NO_ROOM) {
		frames_flush();
		fit = frame_buffer_add(&out, frame);
	}
	if (fit != FRAME_ADDED)
		die("cannot write a frame of %u bytes", ((const struct tt_frame *)frame)->length);
}

bool frames_read_requests(handle_request *handle, void *arg)
{
	static struct requests in;
	ssize_t n = read(STDIN_FILENO, in.bytes + in.used, sizeof(in.bytes) - in.used);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (!requests_take(&in, (size_t)n, handle, arg))
		die("what came on stdin is no request");
	return true;
}
