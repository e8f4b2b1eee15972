// SPDX-License-Identifier: MIT
#include "diag_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

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
	out->is_detailed = true;
	out->retransmits = info.tcpi_total_retrans;
	out->unacked = info.tcpi_unacked;
	out->bytes_acked = info.tcpi_bytes_acked;
	out->bytes_received = info.tcpi_bytes_received;
	out->segments_in = info.tcpi_segs_in;
	out->has_bytes_sent = INFO_HAS(size, tcpi_bytes_retrans);
	out->bytes_sent = out->has_bytes_sent ? info.tcpi_bytes_sent - info.tcpi_bytes_retrans :
						info.tcpi_bytes_acked;
}

static int read_socket(const struct nlmsghdr *header, diag_visit *visit, void *arg)
{
	const struct inet_diag_msg *message = NLMSG_DATA(header);
	struct diag_socket out;
	int left;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*message)))
		return EBADMSG;
	out = (struct diag_socket){
		.cookie = message->id.idiag_cookie[0] | (uint64_t)message->id.idiag_cookie[1] << 32,
		.local_port = ntohs(message->id.idiag_sport),
		.peer_port = ntohs(message->id.idiag_dport),
		.state = message->idiag_state,
		.inode = message->idiag_inode,
		.interface = message->id.idiag_if,
		.retransmits = message->idiag_state == STATE_SYN_SENT ? message->idiag_retrans : 0,
	};
	left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
	read_address(out.local, message->idiag_family, message->id.idiag_src);
	read_address(out.peer, message->idiag_family, message->id.idiag_dst);
	for (const struct rtattr *attribute = (const void *)(message + 1); RTA_OK(attribute, left);
	     attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == INET_DIAG_INFO)
			read_info(&out, RTA_DATA(attribute), RTA_PAYLOAD(attribute));
	visit(&out, arg);
	return 0;
}

static int read_error(const struct nlmsghdr *header)
{
	const struct nlmsgerr *message = NLMSG_DATA(header);

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(message->error)))
		return EBADMSG;
	return message->error < 0 && message->error != INT_MIN ? -message->error : EBADMSG;
}

static void read_message(const struct nlmsghdr *header, struct diag_answer *answer,
			 diag_visit *visit, void *arg)
{
	if (header->nlmsg_flags & NLM_F_DUMP_INTR)
		answer->disturbed = true;
	switch (header->nlmsg_type) {
	case NLMSG_DONE:
		answer->done = true;
		break;
	case NLMSG_ERROR:
		answer->error = read_error(header);
		break;
	case SOCK_DIAG_BY_FAMILY:
	case TCPDIAG_GETSOCK:
		answer->error = read_socket(header, visit, arg);
		break;
	}
}

void diag_read(const void *bytes, size_t length, struct diag_answer *answer, diag_visit *visit,
	       void *arg)
{
	const struct nlmsghdr *header = bytes;
	ssize_t left = (ssize_t)length;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		read_message(header, answer, visit, arg);
		if (answer->done || answer->error)
			return;
	}
	if (left > 0) /* cut short: too long for the buffer */
		answer->error = EBADMSG;
}
