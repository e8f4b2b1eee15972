// SPDX-License-Identifier: MIT
#include "ring_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "stream.h"

/* Each reading wakes the agent, which costs more than what is read. */
#define HOLD_NS	  20000000ull
#define NS_PER_MS 1000000ull

static void wait_for_edge(struct ring_watch *watch, int operation)
{
	int fd = stream_fd(watch->stream);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

	if (epoll_ctl(watch->epoll_fd, operation, fd, &event))
		die("cannot watch the ring buffer: %s", strerror(errno));
}

static bool is_held_long_enough(const struct ring_watch *watch)
{
	return boot_ns() - watch->read_ns >= HOLD_NS;
}

static void read_ring(struct ring_watch *watch)
{
	watch->held = false;
	watch->read_ns = boot_ns();
	stream_read(watch->stream);
	/* The kernel may have taken us for still reading when the next came: this asks once more. */
	wait_for_edge(watch, EPOLL_CTL_MOD);
}

void ring_watch_begin(struct ring_watch *watch, int epoll_fd, struct stream *stream)
{
	*watch = (struct ring_watch){ .stream = stream, .epoll_fd = epoll_fd };
	wait_for_edge(watch, EPOLL_CTL_ADD);
}

void ring_watch_ready(struct ring_watch *watch)
{
	/* A second edge without a reading in between: one that can't wait. */
	if (watch->held || is_held_long_enough(watch))
		read_ring(watch);
	else
		watch->held = true;
}

int ring_watch_timeout(const struct ring_watch *watch)
{
	uint64_t held_ns = boot_ns() - watch->read_ns;

	if (!watch->held)
		return -1;
	return held_ns >= HOLD_NS ? 0 : (int)((HOLD_NS - held_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void ring_watch_tick(struct ring_watch *watch)
{
	if (watch->held && is_held_long_enough(watch))
		read_ring(watch);
}
