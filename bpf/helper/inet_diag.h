/* SPDX-License-Identifier: MIT */
/* The kernel's TCP sockets over netlink: dumps and destroy notices (net/ipv4/inet_diag.c). */
#ifndef INET_DIAG_H
#define INET_DIAG_H

#include "helper.h"

/* enum of include/net/tcp_states.h */
enum tcp_state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_SENT = 2,
	STATE_SYN_RECV = 3,
	STATE_TIME_WAIT = 6,
	STATE_CLOSE = 7,
	STATE_CLOSE_WAIT = 8,
	STATE_LISTEN = 10,
};

/* How much to ask of each socket: details are most of what a dump costs. */
enum diag_detail {
	DIAG_PLAIN, /* who, where and in which state; retransmissions while connecting */
	DIAG_DETAILED, /* all of struct diag_socket */
};

/*
 * One socket as netlink tells it. Byte counts are 0 where the kernel's tcp_info is too short, or was
 * not asked for.
 */
struct diag_socket {
	uint64_t cookie;
	uint8_t local[16]; /* IPv4 mapped, as everywhere */
	uint8_t peer[16];
	uint16_t local_port;
	uint16_t peer_port;
	uint8_t state;
	uint32_t inode; /* 0: no file (TIME_WAIT, destroyed) */
	uint32_t interface; /* it is bound to; 0: to none */
	uint64_t bytes_sent; /* payload, without retransmissions */
	uint64_t
		bytes_received; /* counts the peer's FIN too: netlink does not tell whether one came */
	uint64_t bytes_acked; /* counts the SYN of an active open, and the FIN */
	uint32_t retransmits;
	uint32_t unacked; /* segments in flight */
	uint32_t segments_in;
	bool has_bytes_sent; /* since Linux 4.19 */
	bool is_detailed;
};

typedef void diag_visit(const struct diag_socket *socket, void *arg);

/* A socket that dumps, in the calling thread's network namespace; -1 and errno on failure. */
int diag_open(void);
/* The same for destroy notices; nonblocking. -1 with errno where the kernel has none (before 4.2). */
int diag_open_notices(uint32_t queue_bytes);
/* Notices that found the queue full since it was opened; 0 before Linux 4.12. */
uint32_t diag_dropped_notices(int fd);

/*
 * Visits each TCP socket of both families in one of the states (a bit mask), listening ones first.
 * Where only those are asked for the kernel looks through no others. Returns 0, or an errno; EINTR:
 * the dump was disturbed and may have missed some.
 */
int diag_dump(int fd, uint32_t states, enum diag_detail detail, diag_visit *visit, void *arg);

/* Visits a socket that a dump showed, in all detail. 0, or an errno: ENOENT, ESTALE if it is gone. */
int diag_look_again(int fd, const struct diag_socket *socket, diag_visit *visit, void *arg);

/*
 * Visits each destroyed socket whose notice has arrived. Returns 0, ENOBUFS when the kernel had to
 * drop some, or EBADMSG when some could not be read.
 */
int diag_read_notices(int fd, diag_visit *visit, void *arg);

#endif
