/* SPDX-License-Identifier: MIT */
/* The agent's requests as they come in, cut anywhere. No I/O. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "helper.h"

struct requests {
	unsigned char bytes[64 * sizeof(struct tt_request)];
	size_t used; /* of a request whose rest is still to come, less than one request */
};

typedef void handle_request(const struct tt_request *request, void *arg);

/*
 * Takes what was read to bytes + used, at most what fits; calls handle for each complete request.
 * Returns false at the first one that is none: what follows cannot be told apart any more.
 */
bool requests_take(struct requests *requests, size_t added, handle_request *handle, void *arg);

#endif
