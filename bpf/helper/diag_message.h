/* SPDX-License-Identifier: MIT */
/* Reads netlink messages of the socket-diagnosis family (net/ipv4/inet_diag.c). No I/O. */
#ifndef DIAG_MESSAGE_H
#define DIAG_MESSAGE_H

#include "inet_diag.h"

/* What a datagram said besides sockets. */
struct diag_answer {
	bool done; /* the dump is over */
	bool disturbed; /* sockets may be missing from it */
	int error; /* an errno: the dump's, or EBADMSG for what is no whole message */
};

/*
 * Visits each socket of one datagram; bytes are aligned to 4. Stops where the dump is over, or at
 * an error.
 */
void diag_read(const void *bytes, size_t length, struct diag_answer *answer, diag_visit *visit,
	       void *arg);

#endif
