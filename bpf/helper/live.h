/* SPDX-License-Identifier: MIT */
/* The sockets that snapshots have shown, from one snapshot to the next, and what they count. */
#ifndef LIVE_H
#define LIVE_H

#include "accumulate.h"
#include "netns.h"
#include "sighting.h"
#include "table.h"

struct live_socket;

struct live {
	struct table sockets; /* of struct live_socket */
	uint32_t snapshot; /* number of the current one */
	uint64_t now_ns; /* when it began */
	struct accumulator *counted;
};

void live_init(struct live *live, struct accumulator *counted);
void live_begin_snapshot(struct live *live);
/* The socket, gone ones included; NULL if no snapshot showed it. */
struct live_socket *live_find(const struct live *live, uint32_t netns, uint64_t cookie);
/* The current snapshot shows the socket as well. */
void live_see_again(struct live *live, struct live_socket *known, const struct diag_socket *socket);
/* The current snapshot is the first to show it. */
void live_add(struct live *live, const struct sighting *sighting, const struct tt_flow_key *flow);
/* Its end was told. */
void live_close(struct live *live, struct live_socket *known, const struct diag_socket *socket);
/*
 * Closes what the current snapshot, a complete one, did not show, but for namespaces that it left
 * out. With notices to come the sockets are kept as gone, so that theirs are known when they arrive.
 */
void live_bury(struct live *live, const struct namespaces *namespaces, bool notices_will_come);

#endif
