// SPDX-License-Identifier: MIT
/* One HTTP/1.1 connection, and the histogram of latencies. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t ns)
{
	struct timespec until = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

int endpoint_parse(struct endpoint *out, const char *address, const char *port)
{
	memset(out, 0, sizeof(*out));
	out->address.sin_family = AF_INET;
	out->address.sin_port = htons((uint16_t)atoi(port));
	snprintf(out->host, sizeof(out->host), "%s", address);
	return inet_pton(AF_INET, address, &out->address.sin_addr) == 1 ? 0 : -1;
}

int connection_open(struct connection *conn, const struct endpoint *server,
		    const struct in_addr *local, bool blocking)
{
	int one = 1;

	memset(conn, 0, sizeof(*conn));
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
	if (conn->fd < 0)
		return -1;
	if (local) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr = *local };

		setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(conn->fd, (struct sockaddr *)&from, sizeof(from)))
			goto fail;
	}
	if (connect(conn->fd, (const struct sockaddr *)&server->address, sizeof(server->address)) &&
	    errno != EINPROGRESS)
		goto fail;
	return 0;
fail:
	close(conn->fd);
	conn->fd = -1;
	return -1;
}

int connection_request(struct connection *conn, bool last)
{
	static const char keep[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
	static const char end[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
	const char *text = last ? end : keep;
	size_t length = last ? sizeof(end) - 1 : sizeof(keep) - 1;

	conn->received = 0;
	conn->expected = 0;
	return write(conn->fd, text, length) == (ssize_t)length ? 0 : -1;
}

/* Sets `expected` once the header has been received. */
static void parse_header(struct connection *conn)
{
	size_t have =
		conn->received < sizeof(conn->head) - 1 ? conn->received : sizeof(conn->head) - 1;
	char *end, *length;

	conn->head[have] = '\0';
	end = strstr(conn->head, "\r\n\r\n");
	length = strcasestr(conn->head, "content-length:");
	if (end && length)
		conn->expected = (size_t)(end + 4 - conn->head) + strtoul(length + 15, NULL, 10);
}

int connection_read(struct connection *conn, bool until_end)
{
	char body[16384];

	for (;;) {
		bool in_head = conn->received < sizeof(conn->head) - 1;
		char *into = in_head ? conn->head + conn->received : body;
		size_t room = in_head ? sizeof(conn->head) - 1 - conn->received : sizeof(body);
		ssize_t count = read(conn->fd, into, room);

		if (count < 0)
			return errno == EAGAIN ? 0 : -1;
		if (count == 0)
			return conn->expected && conn->received >= conn->expected ? 1 : -1;
		conn->received += (size_t)count;
		if (!conn->expected)
			parse_header(conn);
		if (!until_end && conn->expected && conn->received >= conn->expected)
			return 1;
	}
}

int connection_read_all(struct connection *conn)
{
	int result;

	while ((result = connection_read(conn, true)) == 0)
		;
	return result == 1 ? 0 : -1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	double octaves = ns > 1 ? log2((double)ns) : 0;
	size_t bucket = (size_t)(octaves * 64);

	if (bucket >= HISTOGRAM_BUCKETS)
		bucket = HISTOGRAM_BUCKETS - 1;
	histogram->counts[bucket]++;
	histogram->count++;
	histogram->sum_ns += (double)ns;
}

double histogram_quantile_us(const struct histogram *histogram, double quantile)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * quantile), seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->counts[i];
		if (seen > wanted)
			return exp2(((double)i + 0.5) / 64) / 1000;
	}
	return 0;
}
