// SPDX-License-Identifier: MIT
#include "sighting.h"

#include <stdlib.h>
#include <string.h>

#include "netns.h"

/*
 * Sequence numbers that were acknowledged beyond the payload: the SYN of an active open and the FIN.
 * -1 where it cannot be told.
 */
static int beyond_payload(const struct diag_socket *socket)
{
	if (!socket->has_bytes_sent || socket->unacked)
		return -1;
	return (int)(socket->bytes_acked - socket->bytes_sent);
}

bool sighting_is_open(const struct diag_socket *socket)
{
	return socket->state == STATE_ESTABLISHED || socket->state == STATE_CLOSE_WAIT;
}

bool sighting_wants_details(const struct listeners *listeners, const struct sighting *sighting)
{
	const struct diag_socket *socket = &sighting->socket;

	return !socket->is_detailed && sighting_is_open(socket) &&
	       !listeners_has(listeners, sighting->netns, socket->local, socket->local_port);
}

/*
 * The LISTEN set decides (paper, figure 4). Where nobody listens any more, an open socket that had
 * nothing but payload acknowledged never sent a SYN. A destroyed one proves nothing so: it may never
 * have been established, or its FIN be in the sum.
 */
enum tt_direction sighting_direction(const struct listeners *listeners,
				     const struct sighting *sighting)
{
	const struct diag_socket *socket = &sighting->socket;
	bool open = sighting_is_open(socket);

	if (listeners_has(listeners, sighting->netns, socket->local, socket->local_port))
		return TT_PASSIVE;
	if (open && beyond_payload(socket) == 0)
		return TT_PASSIVE;
	if (open && beyond_payload(socket) == 1)
		return TT_ACTIVE;
	return listeners->complete ? TT_ACTIVE : TT_DIRECTION_UNKNOWN;
}

struct tt_flow_key sighting_flow(const struct sighting *sighting, enum tt_direction direction,
				 const struct owner *owner)
{
	const struct diag_socket *socket = &sighting->socket;
	struct tt_flow_key key = {
		.start_ns = owner ? owner->start_ns : 0,
		.tgid = owner ? owner->tgid : 0,
		.netns = sighting->netns,
		.service_port = direction == TT_PASSIVE ? socket->local_port : socket->peer_port,
		.direction = (uint8_t)direction,
	};

	memcpy(key.local, socket->local, sizeof(key.local));
	memcpy(key.peer, socket->peer, sizeof(key.peer));
	return key;
}

/* An answer to the SYN was a reset if there was any; else retransmissions tell that none came. */
void sighting_count_failure(struct tt_flow_counts *counts, const struct diag_socket *socket)
{
	if (socket->segments_in)
		counts->refused++;
	else if (socket->retransmits)
		counts->timed_out++;
	else
		counts->failed_other++;
}

bool sighting_was_established(const struct diag_socket *socket)
{
	return socket->bytes_acked || socket->bytes_received;
}

void sightings_add(struct sightings *sightings, const struct netns *netns,
		   const struct diag_socket *socket)
{
	if (sightings->count == sightings->capacity) {
		sightings->capacity = sightings->capacity ? sightings->capacity * 2 : 256;
		sightings->items =
			realloc(sightings->items, sightings->capacity * sizeof(*sightings->items));
		if (!sightings->items)
			die("out of memory");
	}
	sightings->items[sightings->count++] = (struct sighting){ .netns = netns->inum,
								  .seen_ns = boot_ns(),
								  .older = !netns->dumped,
								  .socket = *socket };
}

void sightings_clear(struct sightings *sightings)
{
	if (sightings->capacity > 4096) {
		free(sightings->items);
		*sightings = (struct sightings){};
	}
	sightings->count = 0;
}
