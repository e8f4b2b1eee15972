// SPDX-License-Identifier: MIT
/*
 * guest-exit CODE
 *
 * Ends the QEMU that this guest runs in, with exit code 2 * CODE + 1, by way of QEMU's isa-debug-exit
 * device at port 0xf4. Debian's cloud kernels have no /dev/port to do it with a shell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

#define DEBUG_EXIT_PORT 0xf4
#define CODE_MAX	126

int main(int argc, char **argv)
{
	char *end;
	long code;

	if (argc != 2) {
		fprintf(stderr, "usage: guest-exit CODE\n");
		return 2;
	}
	code = strtol(argv[1], &end, 10);
	if (*end || end == argv[1] || code < 0 || code > CODE_MAX) {
		fprintf(stderr, "guest-exit: %s is not a number from 0 to %d\n", argv[1], CODE_MAX);
		return 2;
	}
	if (ioperm(DEBUG_EXIT_PORT, 1, 1)) {
		perror("guest-exit: ioperm");
		return 1;
	}
	outb((unsigned char)code, DEBUG_EXIT_PORT);
	fprintf(stderr, "guest-exit: still here: no isa-debug-exit device\n");
	return 1;
}
