/* SPDX-License-Identifier: MIT */
/*
 * The sockets of a tcp-actor. Functions that give an int give -1 with errno when they fail. Every
 * connection is logged (truth-log.h).
 */
#ifndef ACTOR_SOCKETS_H
#define ACTOR_SOCKETS_H

#include <stdbool.h>

/* Begins the log. */
void log_sockets(void);
/* This is another process now than the log takes it for. */
void forget_who_we_are(void);
/* From now on sockets are, or no longer, `mptcp`, `reuseport` or `fastopen`; -1: neither of these. */
int use_for_sockets(const char *option, bool on);
const char *error_name(int error);

int listen_at(const char *text, int backlog, int port);
int local_port(int fd);
/* Gives the socket; with SOCK_NONBLOCK in flags it may have to be finished. */
int open_connection(const char *text, int port, int flags, int from_port);
int finish_connect(int fd);
int accept_one(int listener);
/* Another process's. */
int take(int pid, int fd);
int send_all(int fd, long bytes);
/* Reads `bytes`, or up to the FIN when that is negative; returns how many came. */
int receive_all(int fd, long bytes);
int close_socket(int fd);
/* Closes with RST. */
int reset_socket(int fd);

/* Whole lives of connections; give how many there were, or of fast_open how many bytes came. */
int churn(const char *address, int port, int count, long bytes, long pause_ms);
int serve(int listener, int count, long bytes);
int hold(const char *address, int port, int count, long ms);
int open_many(const char *address, int port, int count);
int admit(int listener, int count);
int drop(void);
int fast_open(const char *text, int port, long bytes);

#endif
