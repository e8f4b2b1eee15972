// SPDX-License-Identifier: MIT
#include "inet_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
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

static uint8_t extensions_of(enum diag_detail detail)
{
	return detail == DIAG_DETAILED ? 1 << (INET_DIAG_INFO - 1) : 0;
}

/* The older of the two requests: it alone knows dumps of both families, which walk all sockets once. */
struct dump_request {
	struct nlmsghdr header;
	struct inet_diag_req request;
};

int diag_dump(int fd, uint32_t states, enum diag_detail detail, diag_visit *visit, void *arg)
{
	static union {
		struct nlmsghdr header;
		char bytes[RECEIVE_BUFFER];
	} buffer;
	struct dump_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = TCPDIAG_GETSOCK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .idiag_ext = extensions_of(detail), .idiag_states = states },
	};
	struct diag_answer answer = {};

	if (send(fd, &request, sizeof(request), 0) < 0)
		return errno;
	while (!answer.done && !answer.error) {
		ssize_t n = receive(fd, &buffer);

		if (n <= 0)
			return n ? errno : ENODATA;
		diag_read(&buffer, (size_t)n, &answer, visit, arg);
	}
	return answer.error ? answer.error : answer.disturbed ? EINTR : 0;
}

static void write_address(__be32 *words, uint8_t family, const uint8_t *address)
{
	if (family == AF_INET)
		memcpy(words, address + 12, 4);
	else
		memcpy(words, address, 16);
}

struct look_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

static struct look_request look_at(const struct diag_socket *socket)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	/* An IPv4 connection of an IPv6 socket is found by its IPv4 addresses, too. */
	bool ipv4 = !memcmp(socket->local, mapped, sizeof(mapped));
	struct look_request look = {
		.header = { .nlmsg_len = sizeof(look),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.request = { .sdiag_family = ipv4 ? AF_INET : AF_INET6,
			     .sdiag_protocol = IPPROTO_TCP,
			     .idiag_ext = extensions_of(DIAG_DETAILED),
			     .idiag_states = ~0u },
	};
	struct inet_diag_sockid *id = &look.request.id;

	write_address(id->idiag_src, look.request.sdiag_family, socket->local);
	write_address(id->idiag_dst, look.request.sdiag_family, socket->peer);
	id->idiag_sport = htons(socket->local_port);
	id->idiag_dport = htons(socket->peer_port);
	id->idiag_if = socket->interface;
	id->idiag_cookie[0] = (uint32_t)socket->cookie;
	id->idiag_cookie[1] = (uint32_t)(socket->cookie >> 32);
	return look;
}

int diag_look_again(int fd, const struct diag_socket *socket, diag_visit *visit, void *arg)
{
	struct look_request request = look_at(socket);
	struct diag_answer answer = {};
	union {
		struct nlmsghdr header;
		char bytes[2048];
	} buffer;
	ssize_t n;

	if (send(fd, &request, sizeof(request), 0) < 0)
		return errno;
	do {
		n = recv(fd, &buffer, sizeof(buffer), 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? errno : ENODATA;
	diag_read(&buffer, (size_t)n, &answer, visit, arg);
	return answer.error;
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
