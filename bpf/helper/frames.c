// SPDX-License-Identifier: MIT
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char out[64 * 1024];
static size_t out_used;

void frames_flush(void)
{
	size_t done = 0;

	while (done < out_used) {
		ssize_t n = write(STDOUT_FILENO, out + done, out_used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			exit(EXIT_OK); /* nobody is left to report to */
		if (n < 0)
			die("cannot write frames: %s", strerror(errno));
		done += (size_t)n;
	}
	out_used = 0;
}

void frames_write(const void *frame)
{
	uint32_t length = ((const struct tt_frame *)frame)->length;

	if (out_used + length > sizeof(out))
		frames_flush();
	memcpy(out + out_used, frame, length);
	out_used += length;
}

bool frames_read_requests(void (*handle)(const struct tt_request *request, void *arg), void *arg)
{
	static unsigned char in[64 * sizeof(struct tt_request)];
	static size_t in_used;
	struct tt_request request;
	size_t at = 0;
	ssize_t n;

	n = read(STDIN_FILENO, in + in_used, sizeof(in) - in_used);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	in_used += (size_t)n;
	for (; in_used - at >= sizeof(request); at += sizeof(request)) {
		memcpy(&request, in + at, sizeof(request));
		if (request.frame.length != sizeof(request))
			die("malformed request: length %u", request.frame.length);
		handle(&request, arg);
	}
	memmove(in, in + at, in_used - at);
	in_used -= at;
	return true;
}
