// SPDX-License-Identifier: MIT
#include "requests.h"

#include <string.h>

static bool is_request(const struct tt_request *request)
{
	return request->frame.length == sizeof(*request) &&
	       (request->frame.type == TT_REQUEST_DRAIN ||
		request->frame.type == TT_REQUEST_SNAPSHOT ||
		request->frame.type == TT_REQUEST_ACKNOWLEDGE);
}

bool requests_take(struct requests *requests, size_t added, handle_request *handle, void *arg)
{
	size_t have = requests->used + added;
	size_t at = 0;

	for (; have - at >= sizeof(struct tt_request); at += sizeof(struct tt_request)) {
		struct tt_request request;

		memcpy(&request, requests->bytes + at, sizeof(request));
		if (!is_request(&request))
			return false;
		handle(&request, arg);
	}
	memmove(requests->bytes, requests->bytes + at, have - at);
	requests->used = have - at;
	return true;
}
