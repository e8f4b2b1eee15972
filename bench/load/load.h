/* SPDX-License-Identifier: MIT */
/* Connections, the loop that drives them, and what it measured. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S	1000000000ull
#define MAX_CONNECTIONS 19950

struct endpoint {
	struct sockaddr_in address;
	char host[32];
};

/* One connection: idle, or with one request in flight. */
struct connection {
	int fd;
	uint64_t due_ns; /* 0: no request in flight */
	size_t received; /* of the answer */
	size_t expected; /* length of the whole answer; 0: header not complete */
	char head[512];
};

/* Latencies in buckets that grow by 1/64: quantiles are right within 1.6 %. */
#define HISTOGRAM_BUCKETS (64 * 48)
struct histogram {
	uint32_t counts[HISTOGRAM_BUCKETS];
	uint64_t count;
	double sum_ns;
};

struct load {
	const struct endpoint *server;
	bool close_each; /* a connection a request */
	long locals; /* local addresses to rotate through, 0: the kernel's choice */

	int epoll_fd;
	struct connection *connections;
	long *idle; /* ring of idle connections' indexes */
	long slots, idle_head, idle_count;

	struct histogram latency;
	uint64_t started_ns, ended_ns;
	long sent, done, failed, skipped;
};

uint64_t now_ns(void);
void sleep_until(uint64_t ns);

int endpoint_parse(struct endpoint *out, const char *address, const char *port);
int connection_open(struct connection *conn, const struct endpoint *server,
		    const struct in_addr *local, bool blocking);
/* Sends a request; `last` asks the server to close. 0 or -1 with errno. */
int connection_request(struct connection *conn, bool last);
/* Reads what is there: 1 when the answer is complete, 0 when not yet, -1 on error or early end. */
int connection_read(struct connection *conn, bool until_end);
int connection_read_all(struct connection *conn);

void histogram_add(struct histogram *histogram, uint64_t ns);
double histogram_quantile_us(const struct histogram *histogram, double quantile);

int load_init(struct load *load, long slots);
int load_connect_all(struct load *load);
/* Sends `rate` requests a second (0: each connection at once again); measures from anew. */
void load_run(struct load *load, double rate, double seconds);
void load_print(const struct load *load, const char *unit);
