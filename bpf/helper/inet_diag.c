// SPDX-License-Identifier: MIT
#include "inet_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BUFFER	   (64 * 1024)
#define NOTICE_QUEUE_BYTES (8 * 1024 * 1024)

static int open_netlink(int flags)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_SOCK_DIAG);
}

int diag_open(void)
{
	return open_netlink(0);
}

int diag_open_notices(void)
{
	/* Joining the groups without bind() is not enough: a socket without a port id of its own is
	 * taken for the sender and skipped (do_one_broadcast). */
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK,
				      .nl_groups = 1 << (SKNLGRP_INET_TCP_DESTROY - 1) |
						   1 << (SKNLGRP_INET6_TCP_DESTROY - 1) };
	int bytes = NOTICE_QUEUE_BYTES;
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

static void read_address(uint8_t *out, uint8_t family, const __be32 *words)
{
	if (family == AF_INET) {
		memset(out, 0, 10);
		memset(out + 10, 0xff, 2);
		memcpy(out + 12, words, 4);
	} else {
		memcpy(out, words, 16);
	}
}

/* tcp_info grew over the years (192 bytes on 4.15, 280 on 7.2): a field counts if it is there. */
#define INFO_HAS(size, field) \
	((size) >= offsetof(struct tcp_info, field) + sizeof(((struct tcp_info *)0)->field))

static void read_info(struct diag_socket *out, const void *data, size_t size)
{
	struct tcp_info info = {};

	memcpy(&info, data, size < sizeof(info) ? size : sizeof(info));
	out->retransmits = info.tcpi_total_retrans;
	out->unacked = info.tcpi_unacked;
	out->bytes_acked = info.tcpi_bytes_acked;
	out->bytes_received = info.tcpi_bytes_received;
	out->segments_in = info.tcpi_segs_in;
	out->has_bytes_sent = INFO_HAS(size, tcpi_bytes_retrans);
	out->bytes_sent = out->has_bytes_sent ? info.tcpi_bytes_sent - info.tcpi_bytes_retrans :
						info.tcpi_bytes_acked;
}

static void read_message(const struct nlmsghdr *header, diag_visit *visit, void *arg)
{
	const struct inet_diag_msg *message = NLMSG_DATA(header);
	struct diag_socket out = {
		.cookie = message->id.idiag_cookie[0] | (uint64_t)message->id.idiag_cookie[1] << 32,
		.local_port = ntohs(message->id.idiag_sport),
		.peer_port = ntohs(message->id.idiag_dport),
		.state = message->idiag_state,
		.inode = message->idiag_inode,
	};
	int left;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*message)))
		return;
	left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
	read_address(out.local, message->idiag_family, message->id.idiag_src);
	read_address(out.peer, message->idiag_family, message->id.idiag_dst);
	for (const struct rtattr *attribute = (const void *)(message + 1); RTA_OK(attribute, left);
	     attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == INET_DIAG_INFO)
			read_info(&out, RTA_DATA(attribute), RTA_PAYLOAD(attribute));
	visit(&out, arg);
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
	int disturbed = 0, error = request_dump(fd, family, states);

	if (error)
		return error;
	for (;;) {
		ssize_t n = receive(fd, &buffer);

		if (n <= 0)
			return n ? errno : ENODATA;
		for (struct nlmsghdr *header = &buffer.header; NLMSG_OK(header, n);
		     header = NLMSG_NEXT(header, n)) {
			if (header->nlmsg_flags & NLM_F_DUMP_INTR)
				disturbed = EINTR;
			if (header->nlmsg_type == NLMSG_DONE)
				return disturbed;
			if (header->nlmsg_type == NLMSG_ERROR)
				return -((struct nlmsgerr *)NLMSG_DATA(header))->error;
			read_message(header, visit, arg);
		}
	}
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
		ssize_t n = receive(fd, &buffer);

		if (n < 0 && errno == ENOBUFS) {
			lost = ENOBUFS;
			continue;
		}
		if (n <= 0)
			return lost;
		for (struct nlmsghdr *header = &buffer.header; NLMSG_OK(header, n);
		     header = NLMSG_NEXT(header, n))
			if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
				read_message(header, visit, arg);
	}
}
