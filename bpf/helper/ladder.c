// SPDX-License-Identifier: MIT
#include "ladder.h"

#include <errno.h>

#include "selftest.h"

struct stream *ladder_try(const struct options *options, int rung, rung_tried *tried, void *arg)
{
	char text[TT_TEXT_SIZE] = "";
	struct stream *stream;
	int error = stream_open(options, rung, &stream, text);

	if (!error) {
		error = selftest(stream, text);
		/* Where no connection can be made nothing speaks against the rung. */
		if (error == EAGAIN)
			error = 0;
		if (error) {
			stream_close(stream);
			stream = NULL;
		}
	}
	tried(rung, error, text, arg);
	return stream;
}

struct stream *ladder_climb(const struct options *options, int *rung, rung_tried *tried, void *arg)
{
	for (int try = TT_RUNG_FENTRY; try >= TT_RUNG_TRACEPOINT; try--) {
		struct stream *stream;

		if (options->attach >= 0 && options->attach != try)
			continue;
		stream = ladder_try(options, try, tried, arg);
		if (stream) {
			*rung = try;
			return stream;
		}
	}
	return NULL;
}
