// SPDX-License-Identifier: MIT
/* Netlink datagrams, of dumps and of destroy notices, whatever is in them. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>

#include "../../bpf/helper/diag_message.h"
#include "fuzz.h"

struct sockets {
	size_t count;
	uint64_t sum;
};

static void visit(const struct diag_socket *socket, void *arg)
{
	struct sockets *sockets = arg;

	/* Reads every byte of it: the sanitizers tell what was never written. */
	for (size_t i = 0; i < sizeof(socket->local); i++)
		sockets->sum += (uint64_t)socket->local[i] + socket->peer[i];
	sockets->sum += socket->cookie + socket->local_port + socket->peer_port + socket->state +
			socket->inode + socket->bytes_sent + socket->bytes_received +
			socket->bytes_acked + socket->retransmits + socket->unacked +
			socket->segments_in + socket->has_bytes_sent;
	sockets->count++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *bytes = copy_of(data, size);
	struct sockets sockets = {}, again = {};
	struct diag_answer answer = {}, second = {};

	diag_read(bytes, size, &answer, visit, &sockets);
	CHECK(answer.error >= 0);
	CHECK(sockets.count <= size / NLMSG_LENGTH(sizeof(struct inet_diag_msg)));
	/* A pure function of the bytes. */
	diag_read(bytes, size, &second, visit, &again);
	CHECK(sockets.count == again.count && sockets.sum == again.sum);
	CHECK(answer.done == second.done && answer.error == second.error);
	free(bytes);
	return 0;
}
