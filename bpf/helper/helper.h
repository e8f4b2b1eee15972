/* SPDX-License-Identifier: MIT */
/* What every part of the helper shares: options, exit codes, small tools. */
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../transtracer.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_USAGE = 2,
	EXIT_UNSUPPORTED = 3, /* what was asked for cannot run here */
	EXIT_INTERNAL = 70,
};

enum mode_option {
	MODE_AUTO,
	MODE_STREAM,
	MODE_POLL,
};

struct options {
	enum mode_option mode;
	int attach; /* enum tt_rung, or -1: whichever works */
	bool own_netns; /* trace only the namespace the helper runs in */
	bool time_wait; /* count TIME_WAIT sockets of the first snapshot as evidence */
	bool probe;
	bool verbose;
	const char *pin_dir; /* in bpffs; NULL: end with the helper */
	uint32_t max_flows;
	uint32_t max_sockets;
	uint32_t ring_bytes;
	uint32_t few_sockets; /* a poll asks for the details of up to this many each time */
	uint32_t notice_bytes; /* queue of destroy notices, for each namespace */
};

/* Prints one line to stderr. */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, then ends with EXIT_INTERNAL. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

uint64_t boot_ns(void);
uint64_t wall_ns(void);
/* Inode number of the network namespace the calling thread is in; 0 if it cannot be read. */
uint32_t own_netns(void);
const char *rung_name(int rung);
/* Symbolic name of an errno value, or its number. */
const char *errno_name(int error);

#endif
