// SPDX-License-Identifier: MIT
/*
 * tcp-actor: a process whose sockets a test plays with. Reads commands from stdin, a line each, and
 * answers each with a line: `ok [NUMBER]...` or `error ERRNO`. Ends at the end of stdin, without
 * closing anything itself. Addresses are numeric; FD is the number that an earlier answer gave.
 * `tcp-actor run COMMAND;COMMAND...` does just these. Logs its connections (truth-log.h).
 *
 *   listen ADDRESS [BACKLOG [PORT]]  ok FD PORT
 *   connect ADDRESS PORT [LOCALPORT] ok FD LOCALPORT
 *   accept FD                   ok FD               begin ADDRESS PORT       ok FD (not waiting)
 *   send FD BYTES               ok                  finish FD                ok | error ERRNO
 *   receive FD [BYTES]          ok BYTES (no BYTES: up to the peer's FIN)
 *   shutdown FD                 ok (sends FIN)      close FD                 ok
 *   reset FD                    ok (sends RST)      take PID FD              ok FD (another's)
 *   fork COMMAND;COMMAND...     ok PID (after the child did them; it lives on, until `kill`)
 *   background COMMAND;...      ok PID (the same, at once)
 *   kill PID                    ok (SIGKILL, and waits)
 *   exec PATH                   ok (this process, its sockets, another executable)
 *   spawn COUNT PATH COMMAND;...       ok PID (COUNT processes, one after the other; the last one's)
 *   respawn PID PATH COMMAND;...       ok PID (one, with the pid of one that ended)
 *   thread COMMAND              as COMMAND, by another thread
 *   use OPTION 0|1              ok (from now on sockets are mptcp, reuseport, fastopen)
 *   rename NAME                 ok              sleep MS   ok              exit   (no answer)
 *   contain                     ok (goes on in new pid, mount and network namespaces)
 *   hold ADDRESS PORT COUNT MS  ok COUNT (connect, wait MS, close, COUNT times)
 *   open ADDRESS PORT COUNT     ok COUNT (connects at once; they stay open)
 *   admit FD COUNT              ok COUNT (accepts; they stay open)
 *   drop                        ok COUNT (closes what open or admit opened)
 *   fastopen ADDRESS PORT BYTES ok BYTES (data in the SYN, if the kernel has a cookie; read, close)
 *   churn ADDRESS PORT COUNT BYTES [PAUSE]   ok COUNT (connect, send BYTES and FIN, read up to
 *                               FIN, close, wait PAUSE ms)
 *   serve FD COUNT BYTES        ok COUNT (accept, read up to FIN, send BYTES, close)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "truth-log.h"

#define MAX_WORDS 6
#define MAX_FDS	  20480
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static bool use_mptcp, use_reuseport, use_fastopen;

/* Connects that were begun and not finished. */
static struct {
	struct sockaddr_storage peer;
	double begin_ms; /* 0: none */
} begun[MAX_FDS];

/* What open and admit hold. */
static int held[MAX_FDS], held_count;

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

static int stream_socket(int family, int flags)
{
	return socket(family, SOCK_STREAM | flags, use_mptcp ? IPPROTO_MPTCP : 0);
}

static void do_listen(const char *text, int backlog, int port)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int on = 1, off = 0, queue = 64, fd = stream_socket(address.ss_family, 0);

	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (use_reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (use_fastopen)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
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

static void log_connect(int fd, const struct sockaddr_storage *peer, int error, double begin_ms)
{
	truth_connection("active", fd, peer, error ? name_of(error) : "established", begin_ms);
}

static int open_connection(const char *text, int port, int flags, int from_port)
{
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int fd = stream_socket(address.ss_family, flags);
	double begin_ms = truth_boot_ms();

	if (from_port && bind_port(fd, address.ss_family, from_port))
		return -1;
	if (!connect(fd, (struct sockaddr *)&address, size)) {
		log_connect(fd, &address, 0, begin_ms);
	} else if (errno == EINPROGRESS) {
		begun[fd].peer = address;
		begun[fd].begin_ms = begin_ms;
	} else {
		int error = errno;

		log_connect(fd, &address, error, begin_ms);
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
	log_connect(fd, &begun[fd].peer, error, begun[fd].begin_ms);
	begun[fd].begin_ms = 0;
	errno = error;
	return error ? -1 : fd;
}

static int close_socket(int fd)
{
	/* Nobody asked how it ended: it was given up. */
	if (begun[fd].begin_ms > 0)
		truth_connection("active", fd, &begun[fd].peer, "aborted", begun[fd].begin_ms);
	begun[fd].begin_ms = 0;
	return close(fd);
}

static int accept_one(int listener)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	int fd = accept(listener, (struct sockaddr *)&peer, &size);

	if (fd >= 0)
		truth_connection("passive", fd, &peer, "established", truth_boot_ms());
	return fd;
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
		int fd = accept_one(listener);

		if (fd < 0 || receive_all(fd, -1) < 0 || send_all(fd, bytes))
			return -1;
		close(fd);
	}
	return count;
}

static int hold(const char *address, int port, int count, long ms)
{
	for (int i = 0; i < count; i++) {
		int fd = open_connection(address, port, 0, 0);

		if (fd < 0)
			return -1;
		usleep((useconds_t)ms * 1000);
		close(fd);
	}
	return count;
}

/* All SYNs first, then all answers. */
static int open_many(const char *address, int port, int count)
{
	int first = held_count;

	for (int i = 0; i < count && held_count < MAX_FDS; i++) {
		int fd = open_connection(address, port, SOCK_NONBLOCK, 0);

		if (fd < 0)
			return -1;
		held[held_count++] = fd;
	}
	for (int i = first; i < held_count; i++)
		if (begun[held[i]].begin_ms > 0 && finish_connect(held[i]) < 0)
			return -1;
	return held_count - first;
}

static int admit(int listener, int count)
{
	for (int i = 0; i < count && held_count < MAX_FDS; i++) {
		int fd = accept_one(listener);

		if (fd < 0)
			return -1;
		held[held_count++] = fd;
	}
	return count;
}

static int drop(void)
{
	int count = held_count;

	while (held_count)
		close(held[--held_count]);
	return count;
}

static int fast_open(const char *text, int port, long bytes)
{
	static const char zeros[1024];
	struct sockaddr_storage address;
	socklen_t size = parse_address(text, port, &address);
	int fd = stream_socket(address.ss_family, 0), received = -1;
	double begin_ms = truth_boot_ms();

	if (sendto(fd, zeros, (size_t)bytes, MSG_FASTOPEN, (struct sockaddr *)&address, size) < 0) {
		log_connect(fd, &address, errno, begin_ms);
	} else {
		log_connect(fd, &address, 0, begin_ms);
		shutdown(fd, SHUT_WR);
		received = receive_all(fd, -1);
	}
	close(fd);
	return received;
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

static void do_fork(char *commands, bool wait)
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
	if (wait && read(done[0], &byte, 1) < 0)
		answer(-1);
	else
		printf("ok %d\n", pid);
	close(done[0]);
}

/* A process of another executable; with a pid of its own choice where `pid` is not 0. */
static pid_t start(pid_t pid, const char *path, const char *commands)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uintptr_t)&pid,
				   .set_tid_size = 1 };
	pid_t child = pid ? (pid_t)syscall(SYS_clone3, &args, sizeof(args)) : fork();

	if (!child) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execl(path, path, "run", commands, NULL);
		_exit(127);
	}
	return child;
}

static void do_spawn(int count, pid_t as, const char *path, const char *commands)
{
	int status = 0;
	pid_t pid = 0;

	for (int i = 0; i < count; i++) {
		pid = start(as, path, commands);
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
			errno = status ? ECANCELED : errno;
			answer(-1);
			return;
		}
	}
	answer(pid);
}

/* As a container runtime does; who started us waits for its first process. */
static void contain(void)
{
	struct ifreq loopback = { .ifr_name = "lo" };
	pid_t child;
	int fd;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)) {
		answer(-1);
		return;
	}
	child = fork();
	if (child) {
		waitpid(child, NULL, 0);
		_exit(0);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ioctl(fd, SIOCGIFFLAGS, &loopback);
	loopback.ifr_flags |= IFF_UP;
	answer(ioctl(fd, SIOCSIFFLAGS, &loopback));
	close(fd);
	truth.pid = 0;
}

static void use(const char *option, bool on)
{
	if (!strcmp(option, "mptcp"))
		use_mptcp = on;
	else if (!strcmp(option, "reuseport"))
		use_reuseport = on;
	else if (!strcmp(option, "fastopen"))
		use_fastopen = on;
	else
		exit(2);
	answer(0);
}

static void *run_in_thread(void *line)
{
	run_line(line);
	return NULL;
}

static void do_thread(char *line)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, run_in_thread, line);
	if (errno)
		answer(-1);
	else
		pthread_join(thread, NULL);
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
		do_listen(argv[1], argc > 2 ? (int)number[2] : 512, (int)number[3]);
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
		answer(accept_one((int)number[1]));
	} else if (!strcmp(command, "send")) {
		answer(send_all((int)number[1], number[2]));
	} else if (!strcmp(command, "receive")) {
		answer(receive_all((int)number[1], argc > 2 ? number[2] : -1));
	} else if (!strcmp(command, "shutdown")) {
		answer(shutdown((int)number[1], SHUT_WR));
	} else if (!strcmp(command, "close")) {
		answer(close_socket((int)number[1]));
	} else if (!strcmp(command, "reset")) {
		answer(reset((int)number[1]));
	} else if (!strcmp(command, "take")) {
		answer(take((int)number[1], (int)number[2]));
	} else if (!strcmp(command, "kill")) {
		kill((pid_t)number[1], SIGKILL);
		answer(waitpid((pid_t)number[1], NULL, 0));
	} else if (!strcmp(command, "exec")) {
		do_exec(argv[1]);
	} else if (!strcmp(command, "use")) {
		use(argv[1], number[2]);
	} else if (!strcmp(command, "rename")) {
		answer(prctl(PR_SET_NAME, argv[1]));
	} else if (!strcmp(command, "sleep")) {
		answer(usleep((useconds_t)number[1] * 1000));
	} else if (!strcmp(command, "exit")) {
		_exit(0);
	} else if (!strcmp(command, "contain")) {
		contain();
	} else if (!strcmp(command, "hold")) {
		answer(hold(argv[1], (int)number[2], (int)number[3], number[4]));
	} else if (!strcmp(command, "open")) {
		answer(open_many(argv[1], (int)number[2], (int)number[3]));
	} else if (!strcmp(command, "admit")) {
		answer(admit((int)number[1], (int)number[2]));
	} else if (!strcmp(command, "drop")) {
		answer(drop());
	} else if (!strcmp(command, "fastopen")) {
		answer(fast_open(argv[1], (int)number[2], number[3]));
	} else if (!strcmp(command, "churn")) {
		answer(churn(argv[1], (int)number[2], (int)number[3], number[4], number[5]));
	} else if (!strcmp(command, "serve")) {
		answer(serve((int)number[1], (int)number[2], number[3]));
	} else {
		fprintf(stderr, "tcp-actor: no command '%s'\n", command);
		exit(2);
	}
}

static char *skip_word(char *line)
{
	strsep(&line, " ");
	return line ? line : "";
}

static void run_line(char *line)
{
	char *argv[MAX_WORDS] = { "", "", "", "", "", "" };
	int argc = 0;

	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "fork ", 5)) {
		do_fork(line + 5, true);
		return;
	}
	if (!strncmp(line, "background ", 11)) {
		do_fork(line + 11, false);
		return;
	}
	if (!strncmp(line, "thread ", 7)) {
		do_thread(line + 7);
		return;
	}
	if (!strncmp(line, "spawn ", 6) || !strncmp(line, "respawn ", 8)) {
		char *number = skip_word(line), *path = skip_word(number);
		char *commands = skip_word(path);

		if (line[0] == 's')
			do_spawn(atoi(number), 0, path, commands);
		else
			do_spawn(1, atoi(number), path, commands);
		return;
	}
	for (char *word; argc < MAX_WORDS && (word = strsep(&line, " "));)
		if (*word)
			argv[argc++] = word;
	if (argc)
		run_words(argc, argv);
}

int main(int argc, char **argv)
{
	static char line[1024];

	truth_open();
	/* A command that was read ahead would be lost by exec. */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2) {
		for (char *command; (command = strsep(&argv[2], ";"));)
			run_line(command);
		return 0;
	}
	if (argc > 1)
		printf("ok %d\n", getpid());
	while (fgets(line, sizeof(line), stdin))
		run_line(line);
	return 0;
}
