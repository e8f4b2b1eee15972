// SPDX-License-Identifier: MIT
#include "poll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accumulate.h"
#include "inet_diag.h"
#include "listeners.h"
#include "live.h"
#include "netns.h"
#include "owners.h"
#include "sighting.h"

/* Notices judged at the latest when this many have gathered. */
#define MAX_UNJUDGED 65536
/* Of more than a few sockets a snapshot asks for byte counts no more often than this. */
#define DETAILS_EVERY_NS 10000000000ull
/* The kernel's notices come from a queue for each CPU: that of a listener may be so much later than
 * that of a connection which outlived it. */
#define SETTLED_NS 100000000ull

struct sightings {
	struct sighting *items;
	size_t count, capacity;
};

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
};

static void remember(struct sightings *sightings, const struct netns *netns,
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

static void forget(struct sightings *sightings)
{
	if (sightings->capacity > 4096) {
		free(sightings->items);
		*sightings = (struct sightings){};
	}
	sightings->count = 0;
}

/* ---- snapshots ---- */

static void visit_dumped(const struct diag_socket *socket, void *arg)
{
	struct poll *poll = arg;
	struct live_socket *known;

	if (socket->state == STATE_LISTEN) {
		listeners_note(&poll->listeners, poll->dumping->inum, socket);
		return;
	}
	poll->sockets++;
	known = socket->state == STATE_TIME_WAIT ?
			NULL :
			live_find(&poll->live, poll->dumping->inum, socket->cookie);
	if (known)
		live_see_again(&poll->live, known, socket);
	else
		remember(&poll->fresh, poll->dumping, socket);
}

static uint32_t wanted_states(const struct poll *poll, const struct netns *netns)
{
	uint32_t states = ~(1u << STATE_CLOSE | 1u << STATE_SYN_RECV | 1u << STATE_TIME_WAIT);

	/* TIME_WAIT tells of connections that no notice will tell of: those closed before we came,
	 * and all where the kernel has no notices. */
	if (poll->count_time_wait && !netns->dumped)
		states |= 1u << STATE_TIME_WAIT;
	return states;
}

static bool dump_all(struct poll *poll)
{
	struct netns *netns;
	bool complete = true;
	size_t i = 0;

	while ((netns = table_next(&poll->namespaces.table, &i))) {
		int error;

		if (netns->diag_fd < 0) {
			complete = false;
			continue;
		}
		/* A dump walks the sockets of all namespaces, and most have none of their own. */
		if (netns->dumped && netns_is_empty(netns))
			continue;
		poll->dumping = netns;
		/* What a socket moved before the first snapshot is not of our time: that must be known. */
		error = diag_dump(netns->diag_fd, wanted_states(poll, netns),
				  netns->dumped ? poll->detail : DIAG_DETAILED, visit_dumped, poll);
		if (error) {
			warn("the dump of network namespace %u is not complete: %s", netns->inum,
			     strerror(error));
			complete = false;
		}
		/* Only now: notices of sockets closed before the first snapshot mean nothing to it. */
		if (!netns->dumped && netns->notice_fd >= 0) {
			poll->watch(netns->notice_fd, true);
			poll->any_notices = true;
		}
		netns->dumped = true;
	}
	return complete;
}

/*
 * A socket without a file is in an accept queue, closed by its owner, or the kernel's own. The first
 * two will be counted by their notices; the kernel's own are counted now.
 */
static bool is_counted_later(const struct poll *poll, const struct diag_socket *socket,
			     enum tt_direction direction)
{
	return poll->any_notices && !socket->inode &&
	       (direction != TT_ACTIVE || socket->state != STATE_ESTABLISHED);
}

static void count_fresh(struct poll *poll, const struct sighting *sighting)
{
	const struct diag_socket *socket = &sighting->socket;
	enum tt_direction direction = sighting_direction(&poll->listeners, sighting);
	struct tt_flow_key flow =
		sighting_flow(sighting, direction, owners_of(&poll->owners, socket->inode));
	struct tt_flow_counts counts = counts_at(sighting->seen_ns);

	if (socket->state == STATE_TIME_WAIT) {
		counts.found = counts.closed = 1;
		accumulator_add(&poll->counted, &flow, TT_BY_SNAPSHOT, &counts);
	} else if (!is_counted_later(poll, socket, direction)) {
		live_add(&poll->live, sighting, &flow);
	}
}

static void note_details(const struct diag_socket *socket, void *arg)
{
	struct diag_socket *known = arg;
	uint32_t inode = known->inode;

	*known = *socket;
	known->inode = inode;
}

/* Asks for what a plain dump left out where it decides the direction. False: the socket is gone. */
static bool look_again(struct poll *poll, struct sighting *sighting)
{
	struct netns *netns = table_find(&poll->namespaces.table, &sighting->netns);
	struct diag_socket *socket = &sighting->socket;
	int error;

	if (!netns || !sighting_wants_details(&poll->listeners, sighting))
		return true;
	error = diag_look_again(netns->diag_fd, socket, note_details, socket);
	return !error && socket->state != STATE_TIME_WAIT && socket->state != STATE_CLOSE;
}

/* One that is gone again is counted by its notice. */
static void forget_gone(struct poll *poll)
{
	struct sightings *fresh = &poll->fresh;
	size_t kept = 0;

	for (size_t i = 0; i < fresh->count; i++)
		if (look_again(poll, &fresh->items[i]) || !poll->any_notices)
			fresh->items[kept++] = fresh->items[i];
	fresh->count = kept;
}

static void resolve_fresh(struct poll *poll)
{
	forget_gone(poll);
	for (size_t i = 0; i < poll->fresh.count; i++)
		owners_want(&poll->owners, poll->fresh.items[i].socket.inode);
	owners_resolve(&poll->owners);
	for (size_t i = 0; i < poll->fresh.count; i++)
		count_fresh(poll, &poll->fresh.items[i]);
	owners_forget(&poll->owners);
	forget(&poll->fresh);
}

static void choose_detail(struct poll *poll, bool in_full)
{
	bool due = poll->live.now_ns - poll->detailed_ns >= DETAILS_EVERY_NS;

	poll->detail =
		in_full || due || poll->sockets <= poll->few_sockets ? DIAG_DETAILED : DIAG_PLAIN;
	if (poll->detail == DIAG_DETAILED)
		poll->detailed_ns = poll->live.now_ns;
}

static void judge_notices(struct poll *poll, bool all);

void poll_snapshot(struct poll *poll, bool all_owners, struct poll_result *result)
{
	bool complete;

	live_begin_snapshot(&poll->live);
	choose_detail(poll, all_owners);
	poll->sockets = 0;
	complete = namespaces_scan(&poll->namespaces);
	listeners_begin(&poll->listeners);
	complete = dump_all(poll) && complete;
	poll->listeners.complete = complete;
	resolve_fresh(poll);
	/* The last snapshot before an end is in full: nothing may be left then. */
	judge_notices(poll, all_owners);
	listeners_end(&poll->listeners, complete);
	if (complete)
		live_bury(&poll->live, poll->any_notices);
	if (all_owners || poll->listeners.has_new)
		listeners_find_owners(&poll->listeners, &poll->owners);
	listeners_write(&poll->listeners);
	*result = (struct poll_result){ .sockets = poll->sockets,
					.namespaces = (uint32_t)poll->namespaces.table.count,
					.partial = !complete };
}

/* ---- notices ---- */

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
		remember(&poll->notices, poll->dumping, socket);
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

static void judge_notices(struct poll *poll, bool all)
{
	struct sightings *notices = &poll->notices;
	size_t kept = 0;

	for (size_t i = 0; i < notices->count; i++)
		if (all || may_be_judged(poll, &notices->items[i]))
			judge_notice(poll, &notices->items[i]);
		else
			notices->items[kept++] = notices->items[i];
	if (!kept)
		forget(notices);
	notices->count = kept;
}

/* error: what reading them came to. Old kernels tell that notices were lost, but not how many. */
static void count_lost_notices(struct poll *poll, struct netns *netns, int error)
{
	uint32_t dropped = diag_dropped_notices(netns->notice_fd) - netns->notices_dropped;

	netns->notices_dropped += dropped;
	poll->notices_lost += dropped ?: (error != 0);
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
		judge_notices(poll, true);
}

/* ---- */

static void on_notice_fd(const struct netns *netns, bool opened, void *arg)
{
	struct poll *poll = arg;

	if (!opened && netns->dumped)
		poll->watch(netns->notice_fd, false);
}

struct poll *poll_open(const struct options *options, void (*watch)(int fd, bool on), char *text)
{
	struct poll *poll = calloc(1, sizeof(*poll));
	uint32_t own = own_netns();
	struct netns *netns;

	if (!poll)
		die("out of memory");
	poll->watch = watch;
	poll->count_time_wait = options->time_wait;
	poll->few_sockets = options->few_sockets;
	listeners_init(&poll->listeners);
	owners_init(&poll->owners);
	accumulator_init(&poll->counted);
	live_init(&poll->live, &poll->counted);
	namespaces_init(&poll->namespaces, options->own_netns);
	poll->namespaces.notice_bytes = options->notice_bytes;
	poll->namespaces.on_notice_fd = on_notice_fd;
	poll->namespaces.arg = poll;
	namespaces_scan(&poll->namespaces);
	netns = table_find(&poll->namespaces.table, &own);
	if (!netns || netns->diag_fd < 0) {
		snprintf(text, TT_TEXT_SIZE, "no NETLINK_SOCK_DIAG socket");
		return NULL;
	}
	poll->any_notices = netns->notice_fd >= 0;
	return poll;
}

void poll_drain(struct poll *poll)
{
	accumulator_drain(&poll->counted);
}

bool poll_has_notices(const struct poll *poll)
{
	return poll->any_notices;
}

void poll_stats(const struct poll *poll, struct tt_stats_frame *stats)
{
	stats->notices_lost = poll->notices_lost;
	stats->vanished = poll->owners.vanished;
	stats->namespaces_failed = poll->namespaces.failed;
}
