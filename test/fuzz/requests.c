// SPDX-License-Identifier: MIT
/* Requests cut anywhere. The first byte of an input seeds where. */
#include "../../bpf/helper/requests.h"
#include "fuzz.h"

struct seen {
	const uint8_t *data;
	size_t count;
};

static void handle(const struct tt_request *request, void *arg)
{
	struct seen *seen = arg;

	CHECK(request->frame.type == TT_REQUEST_DRAIN ||
	      request->frame.type == TT_REQUEST_SNAPSHOT ||
	      request->frame.type == TT_REQUEST_ACKNOWLEDGE);
	/* In order, and none made up. */
	CHECK(!memcmp(request, seen->data + seen->count * sizeof(*request), sizeof(*request)));
	seen->count++;
}

static size_t whole_requests(const uint8_t *data, size_t size)
{
	size_t count = 0;

	for (; (count + 1) * sizeof(struct tt_request) <= size; count++) {
		struct tt_request request;

		memcpy(&request, data + count * sizeof(request), sizeof(request));
		if (request.frame.length != sizeof(request) ||
		    (request.frame.type != TT_REQUEST_DRAIN &&
		     request.frame.type != TT_REQUEST_SNAPSHOT &&
		     request.frame.type != TT_REQUEST_ACKNOWLEDGE))
			break;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct requests *requests = calloc(1, sizeof(*requests));
	unsigned int state = take_byte(&data, &size);
	struct seen seen = { .data = data };
	bool good = true;

	CHECK(requests);
	for (size_t at = 0; at < size && good;) {
		size_t room = sizeof(requests->bytes) - requests->used, n;

		CHECK(requests->used < sizeof(struct tt_request));
		state = state * 1103515245u + 12345u;
		n = 1 + (state >> 16) % room;
		if (n > size - at)
			n = size - at;
		memcpy(requests->bytes + requests->used, data + at, n);
		good = requests_take(requests, n, handle, &seen);
		at += n;
	}
	CHECK(seen.count == whole_requests(data, size));
	CHECK(good == (seen.count == size / sizeof(struct tt_request)));
	free(requests);
	return 0;
}
