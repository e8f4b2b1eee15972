// SPDX-License-Identifier: MIT
#include "selftest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct loopback {
	int listener, active, passive;
	uint16_t port;
};

static void loopback_close(struct loopback *sockets)
{
	/* The passive end first: on the tracepoint rung its closing tells who owns it. */
	if (sockets->passive >= 0)
		close(sockets->passive);
	if (sockets->active >= 0)
		close(sockets->active);
	if (sockets->listener >= 0)
		close(sockets->listener);
	sockets->passive = sockets->active = sockets->listener = -1;
}

static int loopback_connect(struct loopback *sockets)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int kind = SOCK_STREAM | SOCK_CLOEXEC;

	*sockets = (struct loopback){ .listener = -1, .active = -1, .passive = -1 };
	sockets->listener = socket(AF_INET, kind, 0);
	sockets->active = socket(AF_INET, kind, 0);
	if (sockets->listener < 0 || sockets->active < 0)
		return errno;
	if (bind(sockets->listener, (struct sockaddr *)&address, size) ||
	    listen(sockets->listener, 1) ||
	    getsockname(sockets->listener, (struct sockaddr *)&address, &size) ||
	    connect(sockets->active, (struct sockaddr *)&address, size))
		return errno;
	sockets->port = ntohs(address.sin_port);
	sockets->passive = accept(sockets->listener, NULL, NULL);
	return sockets->passive < 0 ? errno : 0;
}

struct seen {
	uint16_t port;
	uint32_t active, passive;
};

static bool look(const struct tt_flow_key *key, const struct tt_flow_counts *counts, void *arg)
{
	struct seen *seen = arg;

	if (key->service_port != seen->port || key->tgid != (uint32_t)getpid())
		return false;
	if (key->direction == TT_ACTIVE)
		seen->active += counts->opened;
	else if (key->direction == TT_PASSIVE)
		seen->passive += counts->opened;
	return true;
}

int selftest(struct stream *stream, char *text)
{
	struct loopback sockets;
	struct seen seen = {};
	int error = loopback_connect(&sockets);

	seen.port = sockets.port;
	loopback_close(&sockets);
	if (error) {
		snprintf(text, TT_TEXT_SIZE, "no loopback connection to test with: %s",
			 strerror(error));
		return EAGAIN;
	}
	stream_take(stream, look, &seen);
	stream_discard(stream);
	if (seen.active == 1 && seen.passive == 1)
		return 0;
	snprintf(text, TT_TEXT_SIZE,
		 "attached, but of a connection to itself saw %u active and %u passive opens",
		 seen.active, seen.passive);
	return ENODATA;
}
