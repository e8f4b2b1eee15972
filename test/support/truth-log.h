/* SPDX-License-Identifier: MIT */
/*
 * What a test's program knows of its own connections, as JSON lines: the truth that a tracer is held
 * against. Goes to the file that $TRUTH_LOG names, and nowhere without it.
 */
#ifndef TRUTH_LOG_H
#define TRUTH_LOG_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRUTH_LINE 768

/* One process, one log. Whatever runs as several threads writes whole lines. */
static struct {
	int fd; /* -1: no log */
	bool buffered; /* many lines a write; truth_flush() at the end */
	size_t used;
	char buffer[1 << 17];
	char exe[256];
	pid_t pid; /* whose start_ticks and netns these are; 0: not read yet */
	unsigned long long start_ticks; /* since boot; 0 where /proc is another's */
	unsigned long netns;
} truth = { .fd = -1 };

static inline double truth_boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline void truth_open(void)
{
	const char *path = getenv("TRUTH_LOG");
	ssize_t n = readlink("/proc/self/exe", truth.exe, sizeof(truth.exe) - 1);

	truth.exe[n < 0 ? 0 : n] = '\0';
	if (path && *path)
		truth.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

static inline void truth_flush(void)
{
	if (truth.used && write(truth.fd, truth.buffer, truth.used) < 0)
		perror("truth log");
	truth.used = 0;
}

static inline unsigned long long truth_start_ticks(void)
{
	unsigned long long ticks = 0;
	char line[1024];
	FILE *stat = fopen("/proc/self/stat", "re");
	char *at;

	if (!stat)
		return 0;
	at = fgets(line, sizeof(line), stat) ? strrchr(line, ')') : NULL;
	fclose(stat);
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, "%llu", &ticks) == 1 ? ticks : 0;
}

/* Of a socket, whatever became of the process meanwhile. */
static inline unsigned long truth_netns(int socket)
{
	struct stat status = {};
	int fd = ioctl(socket, SIOCGSKNS);

	if (fd < 0 || fstat(fd, &status))
		return 0;
	close(fd);
	return status.st_ino;
}

static inline int truth_text(const struct sockaddr_storage *address, char *text)
{
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;

	text[0] = '\0';
	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &ipv4->sin_addr, text, INET6_ADDRSTRLEN);
	else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr))
		inet_ntop(AF_INET, &ipv6->sin6_addr.s6_addr[12], text, INET6_ADDRSTRLEN);
	else if (address->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &ipv6->sin6_addr, text, INET6_ADDRSTRLEN);
	/* The port is at the same place in both. */
	return ntohs(ipv4->sin_port);
}

static inline bool truth_has_address(const struct sockaddr_storage *address)
{
	char text[INET6_ADDRSTRLEN];

	truth_text(address, text);
	return text[0] && strcmp(text, "0.0.0.0") && strcmp(text, "::");
}

/* A failed connect() wipes the local address: from where would it have come? */
static inline void truth_route(int socket_fd, const struct sockaddr_storage *peer,
			       struct sockaddr_storage *local)
{
	socklen_t size = sizeof(*local);
	int fd = socket(peer->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memset(local, 0, size);
	if (!getsockname(socket_fd, (struct sockaddr *)local, &size) && truth_has_address(local)) {
		close(fd);
		return;
	}
	memset(local, 0, sizeof(*local));
	size = sizeof(*local);
	if (!connect(fd, (const struct sockaddr *)peer, sizeof(struct sockaddr_in6)))
		getsockname(fd, (struct sockaddr *)local, &size);
	close(fd);
}

/* side: active or passive. outcome: established, or the errno's name of what went wrong. */
static inline void truth_connection(const char *side, int fd, const struct sockaddr_storage *peer,
				    const char *outcome, double begin_ms)
{
	char line[TRUTH_LINE], local_text[INET6_ADDRSTRLEN], peer_text[INET6_ADDRSTRLEN];
	struct sockaddr_storage local = {};
	socklen_t size = sizeof(local);
	int local_port, peer_port, n;
	char comm[16] = "";

	if (truth.fd < 0)
		return;
	if (truth.pid != getpid()) {
		truth.pid = getpid();
		truth.start_ticks = truth_start_ticks();
		truth.netns = truth_netns(fd);
	}
	if (strcmp(outcome, "established"))
		truth_route(fd, peer, &local);
	else
		getsockname(fd, (struct sockaddr *)&local, &size);
	prctl(PR_GET_NAME, comm);
	local_port = truth_text(&local, local_text);
	peer_port = truth_text(peer, peer_text);
	n = snprintf(
		line, sizeof(line),
		"{\"side\":\"%s\",\"pid\":%d,\"startTicks\":%llu,\"comm\":\"%.15s\",\"exe\":\"%s\","
		"\"netns\":%lu,\"local\":\"%s\",\"localPort\":%d,\"peer\":\"%s\",\"peerPort\":%d,"
		"\"outcome\":\"%s\",\"beginMs\":%.3f,\"endMs\":%.3f}\n",
		side, truth.pid, truth.start_ticks, comm, truth.exe, truth.netns, local_text,
		local_port, peer_text, peer_port, outcome, begin_ms, truth_boot_ms());
	if (!truth.buffered) {
		if (write(truth.fd, line, (size_t)n) < 0)
			perror("truth log");
		return;
	}
	if (truth.used + (size_t)n > sizeof(truth.buffer))
		truth_flush();
	memcpy(truth.buffer + truth.used, line, (size_t)n);
	truth.used += (size_t)n;
}

#endif /* TRUTH_LOG_H */
