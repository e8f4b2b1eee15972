// SPDX-License-Identifier: MIT
/* The loop that sends requests when they are due and reads the answers. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* How long answers are waited for after the last request was sent. */
#define GRACE_NS (2 * NS_PER_S)
/* First of the local addresses to rotate through, off loopback and on it. */
#define LOCAL_FIRST    0x0a620001u
#define LOOPBACK_FIRST 0x7f800001u

int load_init(struct load *load, long slots)
{
	prctl(PR_SET_TIMERSLACK, 1000); /* the default of 50 us would show in the latencies */
	load->slots = slots;
	load->connections = calloc((size_t)slots, sizeof(*load->connections));
	load->idle = calloc((size_t)slots, sizeof(*load->idle));
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!load->connections || !load->idle || load->epoll_fd < 0) {
		perror("bench-load");
		return -1;
	}
	for (long i = 0; i < slots; i++) {
		load->connections[i].fd = -1;
		load->idle[i] = i;
	}
	load->idle_count = slots;
	return 0;
}

static void put_idle(struct load *load, long index)
{
	load->idle[(load->idle_head + load->idle_count++) % load->slots] = index;
}

static long take_idle(struct load *load)
{
	long index = load->idle[load->idle_head];

	load->idle_head = (load->idle_head + 1) % load->slots;
	load->idle_count--;
	return index;
}

static int watch(struct load *load, long index, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)index };

	return epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, load->connections[index].fd, &event);
}

int load_connect_all(struct load *load)
{
	for (long i = 0; i < load->slots; i++) {
		struct connection *conn = &load->connections[i];

		if (connection_open(conn, load->server, NULL, true) || watch(load, i, EPOLLIN)) {
			fprintf(stderr, "bench-load: connection %ld: %s\n", i, strerror(errno));
			return -1;
		}
	}
	return 0;
}

static int open_next(struct load *load, long index)
{
	struct in_addr local, *from = NULL;

	if (load->locals) {
		bool loopback = (ntohl(load->server->address.sin_addr.s_addr) >> 24) == 127;
		uint32_t first = loopback ? LOOPBACK_FIRST : LOCAL_FIRST;

		local.s_addr = htonl(first + (uint32_t)(load->sent % load->locals));
		from = &local;
	}
	if (connection_open(&load->connections[index], load->server, from, false))
		return -1;
	return watch(load, index, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void give_up(struct load *load, long index)
{
	struct connection *conn = &load->connections[index];

	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->due_ns = 0;
	load->failed++;
	if (load->close_each)
		put_idle(load, index);
}

static void begin(struct load *load, uint64_t due_ns)
{
	long index = take_idle(load);
	struct connection *conn = &load->connections[index];

	load->sent++;
	if (load->close_each ? open_next(load, index) : connection_request(conn, false)) {
		give_up(load, index);
		return;
	}
	conn->due_ns = due_ns;
}

static void finish(struct load *load, long index, uint64_t now)
{
	struct connection *conn = &load->connections[index];

	histogram_add(&load->latency, now - conn->due_ns);
	load->done++;
	conn->due_ns = 0;
	if (load->close_each) {
		close(conn->fd);
		conn->fd = -1;
	}
	put_idle(load, index);
}

static void on_event(struct load *load, const struct epoll_event *event, uint64_t now)
{
	long index = (long)event->data.u64;
	struct connection *conn = &load->connections[index];
	bool unsent = load->close_each && conn->due_ns && conn->expected == 0 &&
		      conn->received == 0 && conn->head[0] == '\0';
	int result;

	if (conn->fd < 0 || (!conn->due_ns && !(event->events & (EPOLLERR | EPOLLHUP))))
		return;
	if (unsent && (event->events & EPOLLOUT) && !(event->events & EPOLLERR)) {
		conn->head[0] = '?'; /* until the answer overwrites it */
		if (connection_request(conn, true))
			give_up(load, index);
		return;
	}
	if (!conn->due_ns) {
		give_up(load, index);
		return;
	}
	result = connection_read(conn, load->close_each);
	if (result < 0)
		give_up(load, index);
	else if (result > 0)
		finish(load, index, now);
}

static void reset(struct load *load)
{
	memset(&load->latency, 0, sizeof(load->latency));
	load->sent = load->done = load->failed = load->skipped = 0;
	load->started_ns = now_ns();
}

/* Begins what is due. Without a rate: all that is idle. */
static void begin_due(struct load *load, double rate, uint64_t now)
{
	if (rate <= 0) {
		while (load->idle_count)
			begin(load, now);
		return;
	}
	for (;;) {
		uint64_t due = load->started_ns +
			       (uint64_t)((double)(load->sent + load->skipped) * NS_PER_S / rate);

		if (due > now)
			return;
		if (load->idle_count)
			begin(load, due);
		else
			load->skipped++; /* all are busy: a request that was never sent */
	}
}

/* Time until the next request is due: at most a millisecond, at least what a timer can do. */
static struct timespec pause_until_due(const struct load *load, double rate)
{
	struct timespec pause = { .tv_nsec = NS_PER_S / 1000 };
	uint64_t now = now_ns(), due = now;

	if (rate > 0)
		due = load->started_ns +
		      (uint64_t)((double)(load->sent + load->skipped) * NS_PER_S / rate);
	if (rate > 0 && due < now + NS_PER_S / 1000)
		pause.tv_nsec = due > now ? (long)(due - now) : 0;
	return pause;
}

void load_run(struct load *load, double rate, double seconds)
{
	struct epoll_event events[256];
	uint64_t end, now;

	reset(load);
	end = load->started_ns + (uint64_t)(seconds * NS_PER_S);
	while ((now = now_ns()) < end + GRACE_NS) {
		struct timespec pause;
		int count;

		if (now < end)
			begin_due(load, rate, now);
		else if (load->done + load->failed >= load->sent)
			break;
		pause = pause_until_due(load, now < end ? rate : 0);
		count = epoll_pwait2(load->epoll_fd, events, 256, &pause, NULL);
		now = now_ns();
		for (int i = 0; i < count; i++)
			on_event(load, &events[i], now);
	}
	load->ended_ns = now < end ? now : end;
	load->failed = load->sent - load->done; /* unanswered ones too */
}

void load_print(const struct load *load, const char *unit)
{
	double seconds = (double)(load->ended_ns - load->started_ns) / NS_PER_S;
	double mean = load->latency.count ? load->latency.sum_ns / (double)load->latency.count : 0;

	printf("{\"%s\":%ld,\"failed\":%ld,\"skipped\":%ld,\"seconds\":%.3f,\"perSecond\":%.1f,"
	       "\"latencyMeanUs\":%.1f,\"latencyP50Us\":%.1f,\"latencyP99Us\":%.1f}\n",
	       unit, load->done, load->failed, load->skipped, seconds, (double)load->done / seconds,
	       mean / 1000, histogram_quantile_us(&load->latency, 0.5),
	       histogram_quantile_us(&load->latency, 0.99));
}
