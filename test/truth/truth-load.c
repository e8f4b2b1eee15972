// SPDX-License-Identifier: MIT
/*
 * truth-load: so many connections a second by so many short-lived processes a second, all of them
 * logged (truth-log.h).
 *
 *   truth-load DIR ADDRESS PORT SERVERS CLIENTS RATE PROCESSES SECONDS LIFETIME_MS
 *
 * DIR holds links to this program, server-0 ... and client-0 ...: each is a process of its own to a
 * tracer. SERVERS of them listen on PORT and the ports after it. PROCESSES clients are started each
 * second, taking turns among CLIENTS; each makes its share of RATE connections, keeps them for
 * LIFETIME_MS and ends. Prints one line of JSON when all is over and logged.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "../support/truth-log.h"

#define MAX_SERVERS	 64
#define MAX_CONNECTIONS	 1024
#define MAX_CLIENTS_LEFT 400

extern char **environ;
static volatile sig_atomic_t stopping;

static void fail(const char *what)
{
	fprintf(stderr, "truth-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_storage address_of(const char *text, int port)
{
	struct sockaddr_storage address = {};
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;

	ipv4->sin_port = htons((uint16_t)port); /* at the same place in both */
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1)
		address.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1)
		address.ss_family = AF_INET6;
	return address;
}

/* ---- a server: one connection after the other ---- */

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static void serve_one(int fd, const struct sockaddr_storage *peer)
{
	char buffer[256];

	truth_connection("passive", fd, peer, "established", truth_boot_ms());
	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
	close(fd);
}

/* Connections that live take longer than one at a time: each in a child would be another process. */
static void serve_kept(int listener, int *kept, int *count)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	char buffer[256];
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		truth_connection("passive", fd, &peer, "established", truth_boot_ms());
		kept[(*count)++] = fd;
	} else {
		usleep(2000);
	}
	for (int i = 0; i < *count; i++) {
		ssize_t n = recv(kept[i], buffer, sizeof(buffer), 0);

		if (n < 0 && errno == EAGAIN)
			continue;
		close(kept[i]);
		kept[i--] = kept[--*count];
	}
}

static int serve(const char *text, int port, int ready, long lifetime_ms)
{
	static int kept[16384];
	struct sigaction action = { .sa_handler = on_stop }; /* accept() is to end with EINTR */
	struct sockaddr_storage address = address_of(text, port), peer;
	int on = 1, count = 0, listener = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGTERM, &action, NULL);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(struct sockaddr_in6)) ||
	    listen(listener, 4096))
		fail("listen");
	if (write(ready, "r", 1) != 1)
		fail("ready");
	close(ready);
	if (lifetime_ms)
		fcntl(listener, F_SETFL, O_NONBLOCK);
	while (lifetime_ms && !(stopping && !count))
		serve_kept(listener, kept, &count);
	for (;;) {
		socklen_t size = sizeof(peer);
		int fd;

		if (stopping) /* what is queued still counts */
			fcntl(listener, F_SETFL, O_NONBLOCK);
		fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_one(fd, &peer);
		else if (stopping)
			break;
		else if (errno != EINTR)
			fail("accept");
	}
	truth_flush();
	return 0;
}

/* ---- a client ---- */

static int connect_all(const char *text, int port, int servers, int count, int first,
		       long lifetime_ms)
{
	int kept[MAX_CONNECTIONS], many = 0, failed = 0;

	for (int i = 0; i < count; i++) {
		struct sockaddr_storage peer = address_of(text, port + (first + i) % servers);
		int fd = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		double begin_ms = truth_boot_ms();
		char outcome[16] = "established";

		if (connect(fd, (struct sockaddr *)&peer, sizeof(struct sockaddr_in6))) {
			snprintf(outcome, sizeof(outcome), "errno %d", errno);
			failed++;
		}
		truth_connection("active", fd, &peer, outcome, begin_ms);
		if (lifetime_ms && many < MAX_CONNECTIONS)
			kept[many++] = fd;
		else
			close(fd);
	}
	usleep((useconds_t)lifetime_ms * 1000);
	while (many)
		close(kept[--many]);
	truth_flush();
	return failed != 0;
}

/* ---- the one that starts them ---- */

struct plan {
	const char *directory, *address;
	int port, servers, clients, rate, processes, seconds, lifetime_ms;
};

static pid_t start(const char *directory, const char *role, int number, char **argv)
{
	char path[512];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s-%d", directory, role, number);
	argv[0] = path;
	errno = posix_spawn(&pid, path, NULL, NULL, argv, environ);
	if (errno)
		fail(path);
	return pid;
}

static void start_servers(const struct plan *plan, pid_t *servers)
{
	char port[16], ready[16], lifetime[16], byte;
	char *argv[] = { NULL, "serve", (char *)plan->address, port, ready, lifetime, NULL };
	int pipes[2];

	if (pipe(pipes))
		fail("pipe");
	snprintf(ready, sizeof(ready), "%d", pipes[1]);
	snprintf(lifetime, sizeof(lifetime), "%d", plan->lifetime_ms);
	for (int i = 0; i < plan->servers; i++) {
		snprintf(port, sizeof(port), "%d", plan->port + i);
		servers[i] = start(plan->directory, "server", i, argv);
		if (read(pipes[0], &byte, 1) != 1)
			fail("a server did not start");
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void reap(int *left, int most, int *failed)
{
	while (*left) {
		int status;
		pid_t pid = waitpid(-1, &status, *left > most ? 0 : WNOHANG);

		if (pid <= 0)
			return;
		*failed += status != 0;
		--*left;
	}
}

static void sleep_until(double ms)
{
	struct timespec at = { .tv_sec = (time_t)(ms / 1e3) };

	at.tv_nsec = (long)((ms - (double)at.tv_sec * 1e3) * 1e6);
	clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &at, NULL);
}

static int run(const struct plan *plan)
{
	char port[16], servers[16], count[16], first[16], lifetime[16];
	char *argv[] = { NULL,	   "connect", (char *)plan->address, port, servers, count, first,
			 lifetime, NULL };
	int each = plan->rate / plan->processes, total = plan->processes * plan->seconds;
	int left = 0, failed = 0;
	pid_t listening[MAX_SERVERS];
	double begin_ms, elapsed_ms;

	start_servers(plan, listening);
	snprintf(port, sizeof(port), "%d", plan->port);
	snprintf(servers, sizeof(servers), "%d", plan->servers);
	snprintf(count, sizeof(count), "%d", each);
	snprintf(lifetime, sizeof(lifetime), "%d", plan->lifetime_ms);
	begin_ms = truth_boot_ms();
	for (int i = 0; i < total; i++) {
		sleep_until(begin_ms + i * 1e3 / plan->processes);
		snprintf(first, sizeof(first), "%d", i);
		start(plan->directory, "client", i % plan->clients, argv);
		left++;
		reap(&left, MAX_CLIENTS_LEFT, &failed);
	}
	elapsed_ms = truth_boot_ms() - begin_ms;
	while (left)
		reap(&left, 0, &failed);
	for (int i = 0; i < plan->servers; i++)
		kill(listening[i], SIGTERM);
	for (int i = 0; i < plan->servers; i++)
		waitpid(listening[i], NULL, 0);
	printf("{\"connections\":%d,\"processes\":%d,\"failedProcesses\":%d,\"elapsedMs\":%.0f}\n",
	       total * each, total, failed, elapsed_ms);
	return failed != 0;
}

int main(int argc, char **argv)
{
	struct plan plan;

	truth_open();
	truth.buffered = true;
	if (argc == 6 && !strcmp(argv[1], "serve"))
		return serve(argv[2], atoi(argv[3]), atoi(argv[4]), atol(argv[5]));
	if (argc == 8 && !strcmp(argv[1], "connect"))
		return connect_all(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]),
				   atoi(argv[6]), atol(argv[7]));
	if (argc != 10) {
		fprintf(stderr, "usage: truth-load DIR ADDRESS PORT SERVERS CLIENTS RATE PROCESSES "
				"SECONDS LIFETIME_MS\n");
		return 2;
	}
	plan = (struct plan){ argv[1],	     argv[2],	    atoi(argv[3]),
			      atoi(argv[4]), atoi(argv[5]), atoi(argv[6]),
			      atoi(argv[7]), atoi(argv[8]), atoi(argv[9]) };
	if (plan.servers < 1 || plan.servers > MAX_SERVERS || plan.clients < 1 ||
	    plan.processes < 1 || plan.rate / plan.processes > MAX_CONNECTIONS) {
		fprintf(stderr, "truth-load: numbers out of range\n");
		return 2;
	}
	return run(&plan);
}
