// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "actor-sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/syscall.h>

#include "truth-log.h"

#define MAX_FDS 20480
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static bool use_mptcp, use_reuseport, use_fastopen;

/* Connects that were begun and not finished. */
static struct {
	struct sockaddr_storage peer;
	double begin_ms; /* 0: none */
} begun[MAX_FDS];

/* What open and admit hold. */
static int held[MAX_FDS], held_count;

/* Static libraries have no strerrorname_np in older C libraries; these are all a test meets. */
const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ ECONNREFUSED, "ECONNREFUSED" },
		{ ECONNRESET, "ECONNRESET" },
		{ ETIMEDOUT, "ETIMEDOUT" },
		{ ENETUNREACH, "ENETUNREACH" },
		{ EHOSTUNREACH, "EHOSTUNREACH" },
		{ EINPROGRESS, "EINPROGRESS" },
		{ EPIPE, "EPIPE" },
	};
	static char number[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	snprintf(number, sizeof(number), "%d", error);
	return number;
}

static socklen_t parse_address(const char *text, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
		ipv4->sin_family = AF_INET;
		ipv4->sin_port = htons((uint16_t)port);
		return sizeof(*ipv4);
	}
	if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1) {
		ipv6->sin6_family = AF_INET6;
		ipv6->sin6_port = htons((uint16_t)port);
		return sizeof(*ipv6);
	}
	fprintf(stderr, "tcp-actor: '%s' is no address\n", text);
	exit(2);
}

int local_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size))
		return -1;
	/* The port is at the same place in both. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static int stream_socket(int family, int flags)
{
	return socket(family, SOCK_STREAM | flags, use_mptcp ? IPPROTO_MPTCP : 0);
}

int listen_at(const char *text, int backlog, int port)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int on = 1, off = 0, queue = 64, fd = stream_socket(address.ss_family, 0);

	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (use_reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (use_fastopen)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, backlog))
		return -1;
	return fd;
}

/* The kernel still chooses the address. */
static int bind_port(int fd, int family, int port)
{
	struct sockaddr_storage any;
	socklen_t size = parse_address(family == AF_INET ? "0.0.0.0" : "::", port, &any);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&any, size);
}

static void log_connect(int fd, const struct sockaddr_storage *peer, int error, double begin_ms)
{
	truth_connection("active", fd, peer, error ? error_name(error) : "established", begin_ms);
}

int open_connection(const char *text, int port, int flags, int from_port)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int fd = stream_socket(address.ss_family, flags);
	double begin_ms = truth_boot_ms();

	if (from_port && bind_port(fd, address.ss_family, from_port))
		return -1;
	if (!connect(fd, (struct sockaddr *)&address, size)) {
		log_connect(fd, &address, 0, begin_ms);
	} else if (errno == EINPROGRESS) {
		begun[fd].peer = address;
		begun[fd].begin_ms = begin_ms;
	} else {
		int error = errno;

		log_connect(fd, &address, error, begin_ms);
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int finish_connect(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	poll(&ready, 1, -1);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	log_connect(fd, &begun[fd].peer, error, begun[fd].begin_ms);
	begun[fd].begin_ms = 0;
	errno = error;
	return error ? -1 : fd;
}

int close_socket(int fd)
{
	/* Nobody asked how it ended: it was given up. */
	if (begun[fd].begin_ms > 0)
		truth_connection("active", fd, &begun[fd].peer, "aborted", begun[fd].begin_ms);
	begun[fd].begin_ms = 0;
	return close(fd);
}

int accept_one(int listener)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	int fd = accept(listener, (struct sockaddr *)&peer, &size);

	if (fd >= 0)
		truth_connection("passive", fd, &peer, "established", truth_boot_ms());
	return fd;
}

int send_all(int fd, long bytes)
{
	static const char zeros[4096];

	while (bytes > 0) {
		size_t size = bytes < (long)sizeof(zeros) ? (size_t)bytes : sizeof(zeros);
		ssize_t n = send(fd, zeros, size, MSG_NOSIGNAL);

		if (n < 0)
			return -1;
		bytes -= n;
	}
	return 0;
}

/* Reads `bytes`, or up to the FIN when that is negative; returns how many came. */
int receive_all(int fd, long bytes)
{
	char buffer[4096];
	int total = 0;

	while (bytes < 0 || total < bytes) {
		size_t size = sizeof(buffer);
		ssize_t n;

		if (bytes >= 0 && bytes - total < (long)size)
			size = (size_t)(bytes - total);
		n = recv(fd, buffer, size, 0);
		if (n < 0)
			return -1;
		if (!n)
			break;
		total += (int)n;
	}
	return total;
}

int reset_socket(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return close(fd);
}

int churn(const char *address, int port, int count, long bytes, long pause_ms)
{
	for (int i = 0; i < count; i++) {
		int fd = open_connection(address, port, 0, 0);

		if (fd < 0 || send_all(fd, bytes) || shutdown(fd, SHUT_WR) ||
		    receive_all(fd, -1) < 0)
			return -1;
		close(fd);
		usleep((useconds_t)pause_ms * 1000);
	}
	return count;
}

int serve(int listener, int count, long bytes)
{
	for (int i = 0; i < count; i++) {
		int fd = accept_one(listener);

		if (fd < 0 || receive_all(fd, -1) < 0 || send_all(fd, bytes))
			return -1;
		close(fd);
	}
	return count;
}

int hold(const char *address, int port, int count, long ms)
{
	for (int i = 0; i < count; i++) {
		int fd = open_connection(address, port, 0, 0);

		if (fd < 0)
			return -1;
		usleep((useconds_t)ms * 1000);
		close(fd);
	}
	return count;
}

/* All SYNs first, then all answers. */
int open_many(const char *address, int port, int count)
{
	int first = held_count;

	for (int i = 0; i < count && held_count < MAX_FDS; i++) {
		int fd = open_connection(address, port, SOCK_NONBLOCK, 0);

		if (fd < 0)
			return -1;
		held[held_count++] = fd;
	}
	for (int i = first; i < held_count; i++)
		if (begun[held[i]].begin_ms > 0 && finish_connect(held[i]) < 0)
			return -1;
	return held_count - first;
}

int admit(int listener, int count)
{
	for (int i = 0; i < count && held_count < MAX_FDS; i++) {
		int fd = accept_one(listener);

		if (fd < 0)
			return -1;
		held[held_count++] = fd;
	}
	return count;
}

int drop(void)
{
	int count = held_count;

	while (held_count)
		close(held[--held_count]);
	return count;
}

int fast_open(const char *text, int port, long bytes)
{
	static const char zeros[1024];
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int fd = stream_socket(address.ss_family, 0), received = -1;
	double begin_ms = truth_boot_ms();

	if (sendto(fd, zeros, (size_t)bytes, MSG_FASTOPEN, (struct sockaddr *)&address, size) < 0) {
		log_connect(fd, &address, errno, begin_ms);
	} else {
		log_connect(fd, &address, 0, begin_ms);
		shutdown(fd, SHUT_WR);
		received = receive_all(fd, -1);
	}
	close(fd);
	return received;
}

int take(int pid, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int taken = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	int error = errno;

	close(process);
	errno = error;
	return taken;
}

int use_for_sockets(const char *option, bool on)
{
	if (!strcmp(option, "mptcp"))
		use_mptcp = on;
	else if (!strcmp(option, "reuseport"))
		use_reuseport = on;
	else if (!strcmp(option, "fastopen"))
		use_fastopen = on;
	else
		return -1;
	return 0;
}

void log_sockets(void)
{
	truth_open();
}

void forget_who_we_are(void)
{
	truth.pid = 0;
}
