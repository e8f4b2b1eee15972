// SPDX-License-Identifier: MIT
#include "inet_diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag_message.h"

#define RECEIVE_BUFFER (64 * 1024)

static int open_netlink(int flags)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_SOCK_DIAG);
}

int diag_open(void)
{
	return open_netlink(0);
}

int diag_open_notices(uint32_t queue_bytes)
{
	/* Joining the groups without bind() is not enough: a socket without a port id of its own is
	 * taken for the sender and skipped (do_one_broadcast). */
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK,
				      .nl_groups = 1 << (SKNLGRP_INET_TCP_DESTROY - 1) |
						   1 << (SKNLGRP_INET6_TCP_DESTROY - 1) };
	int bytes = (int)queue_bytes;
	int fd = open_netlink(SOCK_NONBLOCK);

	if (fd < 0)
		return -1;
	/* Without CAP_NET_ADMIN the queue stays short; overruns are then noticed and counted. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups))) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

uint32_t diag_dropped_notices(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {};
	socklen_t size = sizeof(info);

	/* A shorter answer leaves zeros. */
	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size);
	return info[SK_MEMINFO_DROPS];
}

static ssize_t receive(int fd, void *buffer)
{
	ssize_t n;

	do {
		n = recv(fd, buffer, RECEIVE_BUFFER, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int request_dump(int fd, uint8_t family, uint32_t states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {
		.header = { .nlmsg_len = sizeof(message),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = family,
			     .sdiag_protocol = IPPROTO_TCP,
			     .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			     .idiag_states = states },
	};

	return send(fd, &message, sizeof(message), 0) < 0 ? errno : 0;
}

static int dump_family(int fd, uint8_t family, uint32_t states, diag_visit *visit, void *arg)
{
	static union {
		struct nlmsghdr header;
		char bytes[RECEIVE_BUFFER];
	} buffer;
	struct diag_answer answer = { .error = request_dump(fd, family, states) };

	while (!answer.done && !answer.error) {
		ssize_t n = receive(fd, &buffer);

		if (n <= 0)
			return n ? errno : ENODATA;
		diag_read(&buffer, (size_t)n, &answer, visit, arg);
	}
	return answer.error ? answer.error : answer.disturbed ? EINTR : 0;
}

int diag_dump(int fd, uint32_t states, diag_visit *visit, void *arg)
{
	int ipv6 = dump_family(fd, AF_INET6, states, visit, arg);
	int ipv4 = dump_family(fd, AF_INET, states, visit, arg);

	/* A kernel without IPv6 answers ENOENT or EINVAL for it, which loses nothing. */
	return ipv4 ? ipv4 : ipv6 == EINTR ? EINTR : 0;
}

int diag_read_notices(int fd, diag_visit *visit, void *arg)
{
	static union {
		struct nlmsghdr header;
		char bytes[RECEIVE_BUFFER];
	} buffer;
	int lost = 0;

	for (;;) {
		struct diag_answer answer = {};
		ssize_t n = receive(fd, &buffer);

		if (n < 0 && errno == ENOBUFS) {
			lost = ENOBUFS;
			continue;
		}
		if (n <= 0)
			return lost;
		diag_read(&buffer, (size_t)n, &answer, visit, arg);
		if (answer.error)
			lost = answer.error;
	}
}
