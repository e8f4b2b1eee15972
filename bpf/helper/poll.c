// SPDX-License-Identifier: MIT
#include "poll_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of more than a few sockets a snapshot asks for byte counts no more often than this. */
#define DETAILS_EVERY_NS 10000000000ull

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
	const struct owner *owner = owners_of(&poll->owners, socket->inode);
	struct tt_flow_key flow = sighting_flow(sighting, direction, owner);
	struct tt_flow_counts counts = counts_at(sighting->seen_ns);

	poll->asks_listeners |= direction == TT_PASSIVE && !owner;
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
	sightings_clear(&poll->fresh);
}

static void choose_detail(struct poll *poll, bool in_full)
{
	bool due = poll->live.now_ns - poll->detailed_ns >= DETAILS_EVERY_NS;
	bool few = poll_known_sockets(poll) <= poll->few_sockets;

	poll->detail = in_full || due || few ? DIAG_DETAILED : DIAG_PLAIN;
	if (poll->detail == DIAG_DETAILED)
		poll->detailed_ns = poll->live.now_ns;
}

void poll_snapshot(struct poll *poll, uint16_t flags, struct poll_result *result)
{
	bool all_owners = flags & TT_SNAPSHOT_OWNERS;
	bool complete;

	live_begin_snapshot(&poll->live);
	choose_detail(poll, all_owners);
	poll->sockets = 0;
	complete = namespaces_scan(&poll->namespaces);
	listeners_begin(&poll->listeners);
	complete = poll_dump(poll) && complete;
	poll->listeners.complete = complete;
	resolve_fresh(poll);
	poll_judge_notices(poll, flags & TT_SNAPSHOT_LAST);
	listeners_end(&poll->listeners, complete);
	if (complete)
		live_bury(&poll->live, &poll->namespaces, poll->any_notices);
	if (all_owners || poll->listeners.has_new)
		listeners_find_owners(&poll->listeners, &poll->owners);
	if (poll->asks_listeners)
		listeners_look_for_children(&poll->listeners);
	poll->asks_listeners = false;
	listeners_write(&poll->listeners);
	*result = (struct poll_result){ .sockets = poll->sockets,
					.namespaces = (uint32_t)poll->namespaces.table.count,
					.partial = !complete };
}

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
