/* SPDX-License-Identifier: MIT */
/* Reads what /proc says of processes (proc(5)). No I/O; texts need no NUL at their end. */
#ifndef PROC_TEXT_H
#define PROC_TEXT_H

#include "helper.h"

/* Places in /proc/PID/stat. */
enum proc_stat_field {
	/* Minor ones, of children that were waited for: every process has some. */
	STAT_CHILDRENS_FAULTS = 11,
	/* When the process started, in clock ticks. */
	STAT_START_TICKS = 22,
};

/* False if it cannot be found. */
bool proc_stat_number(const char *stat, size_t length, enum proc_stat_field wanted,
		      uint64_t *number);
/* The inode in "socket:[INODE]", where a link in /proc/PID/fd points to. False: no socket. */
bool proc_socket_inode(const char *target, size_t length, uint32_t *inode);

#endif
