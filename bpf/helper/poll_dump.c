// SPDX-License-Identifier: MIT
/*
 * What a snapshot asks the kernel for. A dump walks the connections of the whole machine for each
 * namespace; where the kernel's counts say that none was opened since one, it would show nothing new.
 */
#include "poll_private.h"

#include <string.h>

/*
 * A passive open is counted a moment before its socket is where a dump finds it, and whoever opens it
 * may be interrupted in between. A dump so much later shows it.
 */
#define SHOWN_AFTER_NS 100000000ull

static void visit_dumped(const struct diag_socket *socket, void *arg)
{
	struct poll *poll = arg;
	struct netns *netns = poll->dumping;
	struct live_socket *known;

	if (socket->state == STATE_LISTEN) {
		listeners_note(&poll->listeners, netns->inum, socket);
		return;
	}
	poll->sockets++;
	netns->sockets++;
	known = socket->state == STATE_TIME_WAIT ?
			NULL :
			live_find(&poll->live, netns->inum, socket->cookie);
	if (known)
		live_see_again(&poll->live, known, socket);
	else
		sightings_add(&poll->fresh, netns, socket);
	/* A connect without an answer, and what waits in an accept queue: both are looked at until it
	 * is known what becomes of them. */
	if (socket->state == STATE_SYN_SENT ||
	    (!known && !socket->inode && sighting_is_open(socket)))
		netns->unresolved++;
}

static uint32_t wanted_states(const struct poll *poll, const struct netns *netns)
{
	uint32_t states = ~(1u << STATE_CLOSE | 1u << STATE_SYN_RECV | 1u << STATE_TIME_WAIT);

	if (netns->left_out)
		return 1u << STATE_LISTEN;
	/* TIME_WAIT tells of connections that no notice will tell of: those closed before we came,
	 * and all where the kernel has no notices. */
	if (poll->count_time_wait && !netns->dumped)
		states |= 1u << STATE_TIME_WAIT;
	return states;
}

/* Does the kernel count connections as it did before the dump that showed them all? */
static bool is_unmoved(struct netns *netns, uint64_t now_ns)
{
	struct tcp_counts counts = {};

	if (!netns_usage_counts(&netns->usage, &counts))
		return false;
	if (memcmp(&counts, &netns->counts, sizeof(counts))) {
		netns->counts = counts;
		netns->counts_ns = now_ns;
		netns->all_shown = false;
	}
	return netns->all_shown;
}

/* Notices tell what closes; all else that a dump could show would have moved the counts. */
static bool may_leave_out(const struct poll *poll, const struct netns *netns)
{
	return netns->dumped && netns->notice_fd >= 0 && !netns->overrun && !netns->unresolved &&
	       poll->detail == DIAG_PLAIN;
}

/* An errno, or 0. */
static int dump_netns(struct poll *poll, struct netns *netns)
{
	uint64_t began_ns = boot_ns();
	/* Before the dump: what opens meanwhile moves them for the next. */
	bool unmoved = is_unmoved(netns, began_ns);
	int error;

	netns->left_out = unmoved && may_leave_out(poll, netns);
	if (!netns->left_out)
		netns->sockets = netns->unresolved = 0;
	poll->dumping = netns;
	/* What a socket moved before the first snapshot is not of our time: that must be known. */
	error = diag_dump(netns->diag_fd, wanted_states(poll, netns),
			  netns->dumped ? poll->detail : DIAG_DETAILED, visit_dumped, poll);
	if (!netns->left_out) {
		netns->all_shown = !error && began_ns - netns->counts_ns >= SHOWN_AFTER_NS;
		netns->overrun &= error != 0;
	}
	return error;
}

uint32_t poll_known_sockets(const struct poll *poll)
{
	const struct netns *netns;
	uint32_t sockets = 0;
	size_t i = 0;

	while ((netns = table_next(&poll->namespaces.table, &i)))
		sockets += netns->sockets;
	return sockets;
}

bool poll_dump(struct poll *poll)
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
		if (netns->dumped && netns_usage_is_none(&netns->usage)) {
			netns->sockets = netns->unresolved = 0;
			netns->left_out = false;
			continue;
		}
		error = dump_netns(poll, netns);
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
