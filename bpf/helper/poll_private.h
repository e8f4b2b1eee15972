/* SPDX-License-Identifier: MIT */
/* What the parts of a poll share: poll.c with the snapshots, poll_dump.c, poll_notices.c. */
#ifndef POLL_PRIVATE_H
#define POLL_PRIVATE_H

#include "accumulate.h"
#include "listeners.h"
#include "live.h"
#include "netns.h"
#include "owners.h"
#include "poll.h"
#include "sighting.h"

struct poll {
	struct namespaces namespaces;
	struct listeners listeners;
	struct owners owners;
	struct accumulator counted;
	struct live live;
	struct sightings fresh; /* sockets new in the current snapshot */
	struct sightings notices; /* of sockets that no snapshot showed */
	struct netns *dumping;
	void (*watch)(int fd, bool on);
	bool count_time_wait;
	uint32_t few_sockets;
	uint64_t detailed_ns; /* when all details were asked for last */
	enum diag_detail detail; /* of the current snapshot */
	bool any_notices;
	uint32_t sockets; /* looked at in the current snapshot */
	uint64_t notices_lost;
	bool asks_listeners; /* since the latest snapshot something counted that only they can name */
};

/* In the latest dumps of all namespaces. */
uint32_t poll_known_sockets(const struct poll *poll);
/*
 * Has visited in each namespace what is new or may have changed since the latest snapshot; fresh then
 * has the sockets met for the first time. False: something could not be read.
 */
bool poll_dump(struct poll *poll);

/* Counts what the notices that wait tell of; all: also what is better judged at the next snapshot. */
void poll_judge_notices(struct poll *poll, bool all);

#endif
