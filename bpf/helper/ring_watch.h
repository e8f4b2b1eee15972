/* SPDX-License-Identifier: MIT */
/* When to read announcements: the first at once, those that follow it closely together. */
#ifndef RING_WATCH_H
#define RING_WATCH_H

#include "helper.h"

struct stream;

struct ring_watch {
	struct stream *stream;
	int epoll_fd;
	uint64_t read_ns;
	bool held; /* there is something to read */
};

/* Has epoll_fd tell of the stream's announcements. */
void ring_watch_begin(struct ring_watch *watch, int epoll_fd, struct stream *stream);
/* epoll_fd told of them. */
void ring_watch_ready(struct ring_watch *watch);
/* Milliseconds until ring_watch_tick has something to do, for epoll_wait; -1: nothing. */
int ring_watch_timeout(const struct ring_watch *watch);
/* Reads what was held long enough. */
void ring_watch_tick(struct ring_watch *watch);

#endif
