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
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor-sockets.h"

#define MAX_WORDS 6

static void answer(int result)
{
	if (result < 0)
		printf("error %s\n", error_name(errno));
	else
		printf("ok %d\n", result);
}

static void answer_with_port(int fd)
{
	if (fd < 0)
		answer(-1);
	else
		printf("ok %d %d\n", fd, local_port(fd));
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
	forget_who_we_are();
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
		answer_with_port(
			listen_at(argv[1], argc > 2 ? (int)number[2] : 512, (int)number[3]));
	} else if (!strcmp(command, "connect")) {
		answer_with_port(open_connection(argv[1], (int)number[2], 0, (int)number[3]));
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
		answer(reset_socket((int)number[1]));
	} else if (!strcmp(command, "take")) {
		answer(take((int)number[1], (int)number[2]));
	} else if (!strcmp(command, "kill")) {
		kill((pid_t)number[1], SIGKILL);
		answer(waitpid((pid_t)number[1], NULL, 0));
	} else if (!strcmp(command, "exec")) {
		do_exec(argv[1]);
	} else if (!strcmp(command, "use")) {
		if (use_for_sockets(argv[1], number[2]))
			exit(2);
		answer(0);
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

	log_sockets();
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
