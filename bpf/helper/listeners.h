/* SPDX-License-Identifier: MIT */
/* The listening sockets of all namespaces and the processes that hold them. */
#ifndef LISTENERS_H
#define LISTENERS_H

#include "inet_diag.h"
#include "owners.h"

struct listeners {
	struct table addresses; /* of struct address: where somebody listens */
	struct table endpoints; /* of struct endpoint: each socket that does */
	struct table holders; /* of struct holder */
	uint32_t snapshot; /* number of the current one */
	uint64_t now_ns;
	bool has_new; /* a socket appeared whose owners were not looked for yet */
	bool complete; /* the last snapshot could be read in full */
};

void listeners_init(struct listeners *listeners);
/* A snapshot begins; until it ends, what was known before and what is noted now both count. */
void listeners_begin(struct listeners *listeners);
void listeners_note(struct listeners *listeners, uint32_t netns, const struct diag_socket *socket);
/* A listening socket was destroyed: it still counts for some seconds, and in the next snapshot. */
void listeners_note_destroyed(struct listeners *listeners, uint32_t netns,
			      const struct diag_socket *socket);
/* Ends the snapshot: forgets endpoints that were not noted in it. */
void listeners_end(struct listeners *listeners, bool complete);

/* Does somebody listen on this address, or on all of them, at this port? */
bool listeners_has(const struct listeners *listeners, uint32_t netns, const uint8_t *local,
		   uint16_t port);

/* Looks for all owners of all listening sockets. */
void listeners_find_owners(struct listeners *listeners, struct owners *owners);
/* Finds out which of these owners may have shared the socket with children that are gone. */
void listeners_look_for_children(struct listeners *listeners);
/* Writes a LISTENER frame for each owner of each socket. */
void listeners_write(const struct listeners *listeners);

#endif
