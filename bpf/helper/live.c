// SPDX-License-Identifier: MIT
#include "live.h"

#define NANOSECONDS 1000000000ull
/* A socket that is reset keeps its descriptor, and its notice waits, until its owner closes it. */
#define GONE_FOR_GOOD_NS (600 * NANOSECONDS)

struct live_key {
	uint64_t cookie;
	uint64_t netns; /* cookies are unique within a namespace only, before Linux 5.3 or so */
};

struct live_socket {
	struct live_key key;
	struct tt_flow_key flow;
	uint64_t bytes_sent; /* reported so far */
	uint64_t bytes_received;
	uint32_t retransmits;
	uint32_t snapshot; /* the last one that showed it */
	uint64_t gone_ns; /* reported closed, notice still to come */
	bool connecting; /* no answer yet */
	bool unanswered; /* reported as timed out, though the kernel still tries */
};

void live_init(struct live *live, struct accumulator *counted)
{
	*live = (struct live){ .counted = counted };
	table_init(&live->sockets, sizeof(struct live_socket), sizeof(struct live_key));
}

void live_begin_snapshot(struct live *live)
{
	live->snapshot++;
	live->now_ns = boot_ns();
}

struct live_socket *live_find(const struct live *live, uint32_t netns, uint64_t cookie)
{
	struct live_key key = { cookie, netns };

	return table_find(&live->sockets, &key);
}

/* What the socket moved since it was last reported; known is brought up to date. */
static void add_moved(struct tt_flow_counts *counts, struct live_socket *known,
		      const struct diag_socket *socket)
{
	if (socket->bytes_sent > known->bytes_sent)
		counts->bytes_sent = socket->bytes_sent - known->bytes_sent;
	if (socket->bytes_received > known->bytes_received)
		counts->bytes_received = socket->bytes_received - known->bytes_received;
	if (socket->retransmits > known->retransmits)
		counts->retransmits = socket->retransmits - known->retransmits;
	known->bytes_sent += counts->bytes_sent;
	known->bytes_received += counts->bytes_received;
	known->retransmits += counts->retransmits;
}

static void see_unanswered(struct live *live, struct live_socket *known,
			   const struct diag_socket *socket)
{
	struct tt_flow_counts counts = counts_at(live->now_ns);

	if (known->unanswered || socket->retransmits < TT_UNANSWERED_RETRANSMITS)
		return;
	known->unanswered = true;
	counts.timed_out = 1;
	accumulator_add(live->counted, &known->flow, TT_BY_SNAPSHOT, &counts);
}

void live_see_again(struct live *live, struct live_socket *known, const struct diag_socket *socket)
{
	struct tt_flow_counts counts = counts_at(live->now_ns);

	if (known->gone_ns)
		return;
	known->snapshot = live->snapshot;
	if (known->connecting) {
		if (socket->state == STATE_SYN_SENT) {
			see_unanswered(live, known, socket);
			return;
		}
		known->connecting = false;
		counts.opened = 1;
	}
	add_moved(&counts, known, socket);
	if (counts.opened || counts.bytes_sent || counts.bytes_received || counts.retransmits)
		accumulator_add(live->counted, &known->flow, TT_BY_SNAPSHOT, &counts);
}

void live_add(struct live *live, const struct sighting *sighting, const struct tt_flow_key *flow)
{
	const struct diag_socket *socket = &sighting->socket;
	struct live_key key = { socket->cookie, sighting->netns };
	struct tt_flow_counts counts = counts_at(sighting->seen_ns);
	struct live_socket *known = table_insert(&live->sockets, &key, NULL);

	known->flow = *flow;
	known->snapshot = live->snapshot;
	known->connecting = socket->state == STATE_SYN_SENT;
	if (known->connecting)
		return;
	add_moved(&counts, known, socket);
	/* What it moved before is not of this time, and a helper before us may have told it. */
	if (sighting->older)
		counts.bytes_sent = counts.bytes_received = counts.retransmits = 0;
	counts.found = 1;
	accumulator_add(live->counted, flow, TT_BY_SNAPSHOT, &counts);
}

void live_close(struct live *live, struct live_socket *known, const struct diag_socket *socket)
{
	bool failed = known->connecting && !sighting_was_established(socket);
	struct tt_flow_counts counts = counts_at(boot_ns());

	if (failed) {
		sighting_count_failure(&counts, socket);
	} else {
		counts.opened = known->connecting;
		counts.closed = known->connecting || !known->gone_ns;
		add_moved(&counts, known, socket);
	}
	if (!failed || !known->unanswered) /* else it is counted already */
		accumulator_add(live->counted, &known->flow,
				known->connecting ? TT_BY_DESTROY : TT_BY_SNAPSHOT, &counts);
	table_delete(&live->sockets, &known->key);
}

struct burial {
	struct live *live;
	const struct namespaces *namespaces;
	bool notices_will_come;
	uint64_t now_ns;
};

static bool was_left_out(const struct live_socket *known, const struct namespaces *namespaces)
{
	uint32_t inum = (uint32_t)known->key.netns;
	const struct netns *netns = table_find(&namespaces->table, &inum);

	return netns && netns->left_out;
}

static bool bury(void *entry, void *arg)
{
	const struct burial *burial = arg;
	struct live_socket *known = entry;
	struct tt_flow_counts counts = counts_at(burial->now_ns);

	if (known->snapshot == burial->live->snapshot)
		return false;
	if (known->gone_ns)
		return burial->now_ns - known->gone_ns > GONE_FOR_GOOD_NS;
	if (was_left_out(known, burial->namespaces))
		return false;
	/* How a connect ended only its notice tells. */
	if (!known->connecting) {
		counts.closed = 1;
		accumulator_add(burial->live->counted, &known->flow, TT_BY_SNAPSHOT, &counts);
	}
	known->gone_ns = burial->now_ns;
	return !burial->notices_will_come;
}

void live_bury(struct live *live, const struct namespaces *namespaces, bool notices_will_come)
{
	struct burial burial = { live, namespaces, notices_will_come, boot_ns() };

	table_sweep(&live->sockets, bury, &burial);
}
