// SPDX-License-Identifier: MIT
/*
 * tcp-actor: a process whose sockets a test plays with. Reads commands from stdin, a line each, and
 * answers each with a line: `ok [NUMBER]...` or `error ERRNO`. Ends at the end of stdin, without
 * closing anything itself. Addresses are numeric; FD is the number that an earlier answer gave.
 *
 *   listen ADDRESS [BACKLOG]    ok FD PORT          connect ADDRESS PORT [LOCALPORT]  ok FD LOCALPORT
 *   accept FD                   ok FD               begin ADDRESS PORT       ok FD (not waiting)
 *   send FD BYTES               ok                  finish FD                ok | error ERRNO
 *   receive FD [BYTES]          ok BYTES (no BYTES: up to the peer's FIN)
 *   shutdown FD                 ok (sends FIN)      close FD                 ok
 *   reset FD                    ok (sends RST)      take PID FD              ok FD (another's)
 *   fork COMMAND;COMMAND...     ok PID (after the child did them; it lives on, until `kill`)
 *   kill PID                    ok (SIGKILL, and waits)
 *   exec PATH                   ok (this process, its sockets, another executable)
 *   churn ADDRESS PORT COUNT BYTES [PAUSE]   ok COUNT (connect, send BYTES and FIN, read up to
 *                               FIN, close, wait PAUSE ms)
 *   serve FD COUNT BYTES        ok COUNT (accept, read up to FIN, send BYTES, close)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 6

/* Static libraries have no strerrorname_np in older C libraries; these are all a test meets. */
static const char *name_of(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ ECONNREFUSED, "ECONNREFUSED" },
		{ ECONNRESET, "ECONNRESET" },
		{ ETIMEDOUT, "ETIMEDOUT" },
		{ ENETUNREACH, "ENETUNREACH" },
		{ EHOSTUNREACH, "EHOSTUNREACH" },
		{ EINPROGRESS, "EINPROGRESS" },
		{ EPIPE, "EPIPE" },
	};
	static char number[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	snprintf(number, sizeof(number), "%d", error);
	return number;
}

static void answer(int result)
{
	if (result < 0)
		printf("error %s\n", name_of(errno));
	else
		printf("ok %d\n", result);
}

static socklen_t parse_address(const char *text, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
		ipv4->sin_family = AF_INET;
		ipv4->sin_port = htons((uint16_t)port);
		return sizeof(*ipv4);
	}
	if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1) {
		ipv6->sin6_family = AF_INET6;
		ipv6->sin6_port = htons((uint16_t)port);
		return sizeof(*ipv6);
	}
	fprintf(stderr, "tcp-actor: '%s' is no address\n", text);
	exit(2);
}

static int local_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size))
		return -1;
	/* The port is at the same place in both. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void do_listen(const char *text, int backlog)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, 0, &address);
	int off = 0, fd = socket(address.ss_family, SOCK_STREAM, 0);

	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, backlog))
		answer(-1);
	else
		printf("ok %d %d\n", fd, local_port(fd));
}

/* The kernel still chooses the address. */
static int bind_port(int fd, int family, int port)
{
	struct sockaddr_storage any;
	socklen_t size = parse_address(family == AF_INET ? "0.0.0.0" : "::", port, &any);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&any, size);
}

static int open_connection(const char *text, int port, int flags, int from_port)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | flags, 0);

	if (from_port && bind_port(fd, address.ss_family, from_port))
		return -1;
	if (connect(fd, (struct sockaddr *)&address, size) && errno != EINPROGRESS) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int finish_connect(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	poll(&ready, 1, -1);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	return error ? -1 : fd;
}

static int send_all(int fd, long bytes)
{
	static const char zeros[4096];

	while (bytes > 0) {
		size_t size = bytes < (long)sizeof(zeros) ? (size_t)bytes : sizeof(zeros);
		ssize_t n = send(fd, zeros, size, MSG_NOSIGNAL);

		if (n < 0)
			return -1;
		bytes -= n;
	}
	return 0;
}

/* Reads `bytes`, or up to the FIN when that is negative; returns how many came. */
static int receive_all(int fd, long bytes)
{
	char buffer[4096];
	int total = 0;

	while (bytes < 0 || total < bytes) {
		size_t size = sizeof(buffer);
		ssize_t n;

		if (bytes >= 0 && bytes - total < (long)size)
			size = (size_t)(bytes - total);
		n = recv(fd, buffer, size, 0);
		if (n < 0)
			return -1;
		if (!n)
			break;
		total += (int)n;
	}
	return total;
}

static int reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return close(fd);
}

static int churn(const char *address, int port, int count, long bytes, long pause_ms)
{
	for (int i = 0; i < count; i++) {
		int fd = open_connection(address, port, 0, 0);

		if (fd < 0 || send_all(fd, bytes) || shutdown(fd, SHUT_WR) ||
		    receive_all(fd, -1) < 0)
			return -1;
		close(fd);
		usleep((useconds_t)pause_ms * 1000);
	}
	return count;
}

static int serve(int listener, int count, long bytes)
{
	for (int i = 0; i < count; i++) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0 || receive_all(fd, -1) < 0 || send_all(fd, bytes))
			return -1;
		close(fd);
	}
	return count;
}

static int take(int pid, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int taken = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	int error = errno;

	close(process);
	errno = error;
	return taken;
}

static void run_line(char *line);

static void do_fork(char *commands)
{
	int done[2];
	char byte;
	pid_t pid;

	if (pipe(done)) {
		answer(-1);
		return;
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(done[0]);
		/* Only the parent answers. */
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		for (char *command; (command = strsep(&commands, ";"));)
			run_line(command);
		close(done[1]);
		for (;;)
			pause();
	}
	close(done[1]);
	if (read(done[0], &byte, 1) < 0)
		answer(-1);
	else
		printf("ok %d\n", pid);
	close(done[0]);
}

static void do_exec(const char *path)
{
	fflush(stdout);
	execl(path, path, "again", NULL);
	answer(-1);
}

static void run_words(int argc, char **argv)
{
	long number[MAX_WORDS] = {};
	const char *command = argv[0];

	for (int i = 1; i < argc; i++)
		number[i] = strtol(argv[i], NULL, 10);
	if (!strcmp(command, "listen")) {
		do_listen(argv[1], argc > 2 ? (int)number[2] : 512);
	} else if (!strcmp(command, "connect")) {
		int fd = open_connection(argv[1], (int)number[2], 0, (int)number[3]);

		if (fd < 0)
			answer(-1);
		else
			printf("ok %d %d\n", fd, local_port(fd));
	} else if (!strcmp(command, "begin")) {
		answer(open_connection(argv[1], (int)number[2], SOCK_NONBLOCK, 0));
	} else if (!strcmp(command, "finish")) {
		answer(finish_connect((int)number[1]));
	} else if (!strcmp(command, "accept")) {
		answer(accept((int)number[1], NULL, NULL));
	} else if (!strcmp(command, "send")) {
		answer(send_all((int)number[1], number[2]));
	} else if (!strcmp(command, "receive")) {
		answer(receive_all((int)number[1], argc > 2 ? number[2] : -1));
	} else if (!strcmp(command, "shutdown")) {
		answer(shutdown((int)number[1], SHUT_WR));
	} else if (!strcmp(command, "close")) {
		answer(close((int)number[1]));
	} else if (!strcmp(command, "reset")) {
		answer(reset((int)number[1]));
	} else if (!strcmp(command, "take")) {
		answer(take((int)number[1], (int)number[2]));
	} else if (!strcmp(command, "kill")) {
		kill((pid_t)number[1], SIGKILL);
		answer(waitpid((pid_t)number[1], NULL, 0));
	} else if (!strcmp(command, "exec")) {
		do_exec(argv[1]);
	} else if (!strcmp(command, "churn")) {
		answer(churn(argv[1], (int)number[2], (int)number[3], number[4], number[5]));
	} else if (!strcmp(command, "serve")) {
		answer(serve((int)number[1], (int)number[2], number[3]));
	} else {
		fprintf(stderr, "tcp-actor: no command '%s'\n", command);
		exit(2);
	}
}

static void run_line(char *line)
{
	char *argv[MAX_WORDS] = { "", "", "", "", "", "" };
	int argc = 0;

	if (!strncmp(line, "fork ", 5)) {
		do_fork(line + 5);
		return;
	}
	for (char *word; argc < MAX_WORDS && (word = strsep(&line, " \n"));)
		if (*word)
			argv[argc++] = word;
	if (argc)
		run_words(argc, argv);
}

int main(int argc, char **argv)
{
	static char line[1024];

	(void)argv;
	/* A command that was read ahead would be lost by exec. */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		printf("ok %d\n", getpid());
	while (fgets(line, sizeof(line), stdin))
		run_line(line);
	return 0;
}
