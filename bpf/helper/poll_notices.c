// SPDX-License-Identifier: MIT
#include "poll_private.h"

#include <string.h>

/* Notices judged at the latest when this many have gathered. */
#define MAX_UNJUDGED 65536
/* The kernel's notices come from a queue for each CPU: that of a listener may be so much later than
 * that of a connection which outlived it. */
#define SETTLED_NS 100000000ull

/*
 * A listener never had a peer. A connect() that blocked and failed has been through tcp_disconnect():
 * its local address and the peer's port are wiped out, so that what it was for is lost; but the
 * peer's address is still there.
 */
static bool had_peer(const struct diag_socket *socket)
{
	static const uint8_t none[16], none_ipv4[16] = { [10] = 0xff, [11] = 0xff };

	return memcmp(socket->peer, none, sizeof(none)) &&
	       memcmp(socket->peer, none_ipv4, sizeof(none_ipv4));
}

static void visit_notice(const struct diag_socket *socket, void *arg)
{
	struct poll *poll = arg;
	struct live_socket *known = live_find(&poll->live, poll->dumping->inum, socket->cookie);

	if (known)
		live_close(&poll->live, known, socket);
	else if (socket->peer_port)
		sightings_add(&poll->notices, poll->dumping, socket);
	else if (had_peer(socket))
		poll->notices_lost++;
	else
		listeners_note_destroyed(&poll->listeners, poll->dumping->inum, socket);
}

/* A connection that opened and closed between two snapshots, or a connect that failed. */
static void judge_notice(struct poll *poll, const struct sighting *sighting)
{
	enum tt_direction direction = sighting_direction(&poll->listeners, sighting);
	struct tt_flow_key flow = sighting_flow(sighting, direction, NULL);
	struct tt_flow_counts counts = counts_at(sighting->seen_ns);

	poll->asks_listeners |= direction == TT_PASSIVE;
	if (direction == TT_ACTIVE && !sighting_was_established(&sighting->socket)) {
		sighting_count_failure(&counts, &sighting->socket);
	} else {
		counts.opened = 1;
		counts.closed = 1;
		counts.bytes_sent = sighting->socket.bytes_sent;
		counts.bytes_received = sighting->socket.bytes_received;
		counts.retransmits = sighting->socket.retransmits;
	}
	accumulator_add(&poll->counted, &flow, TT_BY_DESTROY, &counts);
}

/* Where nobody is known to listen, the listener's own notice may still be under way. */
static bool may_be_judged(const struct poll *poll, const struct sighting *sighting)
{
	const struct diag_socket *socket = &sighting->socket;

	return boot_ns() - sighting->seen_ns >= SETTLED_NS ||
	       listeners_has(&poll->listeners, sighting->netns, socket->local, socket->local_port);
}

void poll_judge_notices(struct poll *poll, bool all)
{
	struct sightings *notices = &poll->notices;
	size_t kept = 0;

	for (size_t i = 0; i < notices->count; i++)
		if (all || may_be_judged(poll, &notices->items[i]))
			judge_notice(poll, &notices->items[i]);
		else
			notices->items[kept++] = notices->items[i];
	if (!kept)
		sightings_clear(notices);
	notices->count = kept;
}

/* error: what reading them came to. Old kernels tell that notices were lost, but not how many. */
static void count_lost_notices(struct poll *poll, struct netns *netns, int error)
{
	uint32_t dropped = diag_dropped_notices(netns->notice_fd) - netns->notices_dropped;

	netns->notices_dropped += dropped;
	poll->notices_lost += dropped ?: (error != 0);
	netns->overrun |= dropped || error;
}

void poll_read_notices(struct poll *poll, int fd)
{
	struct netns *netns;
	size_t i = 0;

	while ((netns = table_next(&poll->namespaces.table, &i))) {
		if (netns->notice_fd != fd)
			continue;
		poll->dumping = netns;
		count_lost_notices(poll, netns, diag_read_notices(fd, visit_notice, poll));
	}
	if (poll->notices.count > MAX_UNJUDGED)
		poll_judge_notices(poll, true);
}
