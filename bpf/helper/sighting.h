/* SPDX-License-Identifier: MIT */
/* What one look at a socket, or the notice of its end, says of the flow it belongs to. */
#ifndef SIGHTING_H
#define SIGHTING_H

#include "inet_diag.h"
#include "listeners.h"
#include "owners.h"

struct netns;

/* A socket met for the first time, or a notice, until all listeners are known. */
struct sighting {
	uint32_t netns;
	uint64_t seen_ns;
	bool older; /* than the first snapshot of its namespace */
	struct diag_socket socket;
};

struct sightings {
	struct sighting *items;
	size_t count, capacity;
};

/* netns: where the socket is. */
void sightings_add(struct sightings *sightings, const struct netns *netns,
		   const struct diag_socket *socket);
void sightings_clear(struct sightings *sightings);

/* The LISTEN set does not tell who opened it; details may. */
bool sighting_wants_details(const struct listeners *listeners, const struct sighting *sighting);
/* Who opened the connection; unknown when neither LISTEN set nor sequence numbers tell. */
enum tt_direction sighting_direction(const struct listeners *listeners,
				     const struct sighting *sighting);
/* owner may be NULL. */
struct tt_flow_key sighting_flow(const struct sighting *sighting, enum tt_direction direction,
				 const struct owner *owner);
/* Established, and not closed by its owner: it has a file, or will have one, or is the kernel's own. */
bool sighting_is_open(const struct diag_socket *socket);
/* Of a destroyed socket that connected: was there ever an answer? */
bool sighting_was_established(const struct diag_socket *socket);
/* Counts a connect without one, by what speaks of the reason. */
void sighting_count_failure(struct tt_flow_counts *counts, const struct diag_socket *socket);

#endif
