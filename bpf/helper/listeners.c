// SPDX-License-Identifier: MIT
#include "listeners.h"

#include <string.h>

#include "frames.h"

/* SO_REUSEPORT: several sockets at one endpoint, so the inode is part of the key. */
struct endpoint {
	struct tt_listener_key key;
	uint32_t inode;
	uint32_t zero;
	uint32_t snapshot;
};

struct address {
	struct tt_listener_key key;
	uint32_t snapshot;
	uint64_t kept_until_ns;
};

/*
 * Connections that were not seen before outlive their listener where both end with their process. They
 * are judged when their notices come.
 */
#define KEPT_NS 5000000000ull

struct holder {
	uint32_t inode;
	uint32_t tgid;
	uint64_t start_ns;
	bool inheritable;
	bool had_children; /* as far as it was looked for */
};

static const uint8_t any_ipv6[16];
static const uint8_t any_ipv4[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void listeners_init(struct listeners *listeners)
{
	*listeners = (struct listeners){};
	table_init(&listeners->addresses, sizeof(struct address), sizeof(struct tt_listener_key));
	table_init(&listeners->endpoints, sizeof(struct endpoint),
		   offsetof(struct endpoint, snapshot));
	table_init(&listeners->holders, sizeof(struct holder), offsetof(struct holder, start_ns));
}

void listeners_begin(struct listeners *listeners)
{
	listeners->snapshot++;
}

static void note_address(struct listeners *listeners, const struct tt_listener_key *key)
{
	struct address *address = table_insert(&listeners->addresses, key, NULL);

	address->snapshot = listeners->snapshot;
}

static struct tt_listener_key key_of(uint32_t netns, const uint8_t *local, uint16_t port)
{
	struct tt_listener_key key = { .netns = netns, .port = port };

	memcpy(key.local, local, sizeof(key.local));
	return key;
}

void listeners_note(struct listeners *listeners, uint32_t netns, const struct diag_socket *socket)
{
	struct endpoint wanted = { .key = key_of(netns, socket->local, socket->local_port),
				   .inode = socket->inode };
	struct endpoint *endpoint;
	bool is_new;

	note_address(listeners, &wanted.key);
	endpoint = table_insert(&listeners->endpoints, &wanted, &is_new);
	endpoint->snapshot = listeners->snapshot;
	listeners->has_new |= is_new;
}

void listeners_note_destroyed(struct listeners *listeners, uint32_t netns,
			      const struct diag_socket *socket)
{
	struct tt_listener_key key = key_of(netns, socket->local, socket->local_port);

	note_address(listeners, &key);
	((struct address *)table_find(&listeners->addresses, &key))->kept_until_ns =
		boot_ns() + KEPT_NS;
}

static bool is_old_address(void *entry, void *arg)
{
	const struct listeners *listeners = arg;
	const struct address *address = entry;

	return address->snapshot < listeners->snapshot &&
	       address->kept_until_ns < listeners->now_ns;
}

static bool is_old_endpoint(void *entry, void *arg)
{
	return ((struct endpoint *)entry)->snapshot < ((struct listeners *)arg)->snapshot;
}

void listeners_end(struct listeners *listeners, bool complete)
{
	listeners->complete = complete;
	/* What an incomplete snapshot does not show may still be there. */
	if (!complete)
		return;
	listeners->now_ns = boot_ns();
	table_sweep(&listeners->addresses, is_old_address, listeners);
	table_sweep(&listeners->endpoints, is_old_endpoint, listeners);
}

bool listeners_has(const struct listeners *listeners, uint32_t netns, const uint8_t *local,
		   uint16_t port)
{
	struct tt_listener_key own = key_of(netns, local, port);
	struct tt_listener_key ipv6 = key_of(netns, any_ipv6, port);
	struct tt_listener_key ipv4 = key_of(netns, any_ipv4, port);

	return table_find(&listeners->addresses, &own) ||
	       table_find(&listeners->addresses, &ipv6) || table_find(&listeners->addresses, &ipv4);
}

/* ---- owners ---- */

struct finding {
	struct table inodes;
	struct listeners *listeners;
};

static bool is_wanted(uint32_t inode, void *arg)
{
	return table_find(&((struct finding *)arg)->inodes, &inode) != NULL;
}

static void note_holder(uint32_t inode, const struct owner *owner, const char *fd, void *arg)
{
	struct finding *finding = arg;
	struct holder wanted = { .inode = inode, .tgid = owner->tgid };
	struct holder *holder = table_insert(&finding->listeners->holders, &wanted, NULL);

	holder->start_ns = owner->start_ns;
	holder->inheritable |= owners_is_inheritable(owner->tgid, fd);
}

void listeners_find_owners(struct listeners *listeners, struct owners *owners)
{
	struct finding finding = { .listeners = listeners };
	struct endpoint *endpoint;
	size_t i = 0;

	table_init(&finding.inodes, sizeof(uint32_t), sizeof(uint32_t));
	while ((endpoint = table_next(&listeners->endpoints, &i)))
		if (endpoint->inode)
			table_insert(&finding.inodes, &endpoint->inode, NULL);
	table_clear(&listeners->holders);
	owners_visit_all(owners, is_wanted, note_holder, &finding);
	table_free(&finding.inodes);
	listeners->has_new = false;
}

void listeners_look_for_children(struct listeners *listeners)
{
	struct holder *holder;
	size_t i = 0;

	while ((holder = table_next(&listeners->holders, &i)))
		if (holder->inheritable && !holder->had_children)
			holder->had_children = owners_had_children(holder->tgid);
}

static void write_listener(const struct endpoint *endpoint, const struct holder *holder)
{
	uint16_t flags = holder && holder->had_children ? TT_LISTENER_SHARED : 0;
	struct tt_listener_frame listener = {
		.frame = FRAME(TT_FRAME_LISTENER, struct tt_listener_frame, flags),
		.start_ns = holder ? holder->start_ns : 0,
		.tgid = holder ? holder->tgid : 0,
		.netns = endpoint->key.netns,
		.port = (uint16_t)endpoint->key.port,
	};

	memcpy(listener.local, endpoint->key.local, sizeof(listener.local));
	frames_write(&listener);
}

void listeners_write(const struct listeners *listeners)
{
	struct endpoint *endpoint;
	size_t i = 0;

	while ((endpoint = table_next(&listeners->endpoints, &i))) {
		struct holder *holder;
		bool any = false;
		size_t j = 0;

		while ((holder = table_next(&listeners->holders, &j))) {
			if (holder->inode != endpoint->inode)
				continue;
			write_listener(endpoint, holder);
			any = true;
		}
		if (!any)
			write_listener(endpoint, NULL);
	}
}
