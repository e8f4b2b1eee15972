// SPDX-License-Identifier: MIT
/*
 * bench-load: HTTP/1.1 clients for the benchmarks. Addresses are IPv4. Prints one JSON line for each
 * measurement.
 *
 *   keepalive ADDRESS PORT CONNECTIONS          opens them, prints {"connected":N}, then reads lines
 *       RATE SECONDS                            from stdin and sends that many requests/s, round robin
 *   churn ADDRESS PORT RATE SECONDS [LOCALS]    a connection a request; RATE 0: as fast as they go,
 *                                               64 at a time; LOCALS: rotates so many local addresses
 *                                               from 127.128.0.1 or, off loopback, from 10.98.0.1 on
 *   procs ADDRESS PORT RATE SECONDS             a process a connection, each an exec of this program
 *   one ADDRESS PORT                            such a process
 *
 * The load is open-loop: requests are due at fixed times whether or not earlier ones were answered, and
 * latency counts from the time a request was due, so that a stalled server can't hide its queue.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLOSED_LOOP_CONNECTIONS 64
#define GRACE_NS		(2 * NS_PER_S)

extern char **environ;

static int usage(void)
{
	fputs("usage: bench-load keepalive|churn|procs|one ADDRESS PORT ... (see bench-load.c)\n",
	      stderr);
	return 2;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run_one(const struct endpoint *server)
{
	struct connection conn = { .fd = -1 };

	if (connection_open(&conn, server, NULL, true))
		return 1;
	if (connection_request(&conn, true) || connection_read_all(&conn))
		return 1;
	close(conn.fd);
	return 0;
}

/* Starts a process a connection at the rate, and reaps them. */
static int run_procs(char **argv, double rate, double seconds)
{
	char path[4096] = "", *child_argv[] = { argv[0], "one", argv[2], argv[3], NULL };
	uint64_t started = now_ns(), end = started + (uint64_t)(seconds * NS_PER_S);
	long begun = 0, done = 0, failed = 0, running = 0;

	/* By its own path, so that the processes are named after it. */
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return 1;
	for (;;) {
		uint64_t now = now_ns();
		uint64_t due = started + (uint64_t)((double)begun * NS_PER_S / rate);
		int status;
		pid_t pid;

		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			running--;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
				done++;
			else
				failed++;
		}
		if (now >= end && running == 0)
			break;
		if (now < end && now >= due && running < 200) {
			if (posix_spawn(&pid, path, NULL, NULL, child_argv, environ) == 0)
				running++;
			else
				failed++;
			begun++;
			continue;
		}
		sleep_until(now < end && due > now && due - now < NS_PER_S / 1000 ?
				    due :
				    now + NS_PER_S / 2000);
	}
	printf("{\"connections\":%ld,\"failed\":%ld,\"seconds\":%.3f}\n", done, failed,
	       (double)(now_ns() - started) / NS_PER_S);
	return 0;
}

static int run_churn(const struct endpoint *server, double rate, double seconds, long locals)
{
	struct load load = { .server = server, .close_each = true, .locals = locals };
	long slots = rate > 0 ? MAX_CONNECTIONS : CLOSED_LOOP_CONNECTIONS;

	if (load_init(&load, slots))
		return 1;
	load_run(&load, rate, seconds);
	load_print(&load, "connections");
	return 0;
}

static int run_keepalive(const struct endpoint *server, long count)
{
	struct load load = { .server = server };
	char line[128];

	if (load_init(&load, count) || load_connect_all(&load))
		return 1;
	printf("{\"connected\":%ld}\n", count);
	while (fgets(line, sizeof(line), stdin)) {
		double rate, seconds;

		if (sscanf(line, "%lf %lf", &rate, &seconds) != 2)
			return usage();
		load_run(&load, rate, seconds);
		load_print(&load, "requests");
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct endpoint server;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 4 || endpoint_parse(&server, argv[2], argv[3]))
		return usage();
	if (strcmp(argv[1], "one") == 0)
		return run_one(&server);
	raise_file_limit();
	if (strcmp(argv[1], "keepalive") == 0 && argc == 5)
		return run_keepalive(&server, atol(argv[4]));
	if (strcmp(argv[1], "procs") == 0 && argc == 6)
		return run_procs(argv, atof(argv[4]), atof(argv[5]));
	if (strcmp(argv[1], "churn") == 0 && (argc == 6 || argc == 7))
		return run_churn(&server, atof(argv[4]), atof(argv[5]),
				 argc == 7 ? atol(argv[6]) : 0);
	return usage();
}
