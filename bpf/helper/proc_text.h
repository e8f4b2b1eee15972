/* SPDX-License-Identifier: MIT */
/* Reads what /proc says of processes (proc(5)). No I/O; texts need no NUL at their end. */
#ifndef PROC_TEXT_H
#define PROC_TEXT_H

#include "helper.h"

/* Field 22 of /proc/PID/stat: start of the process in clock ticks. False if it cannot be found. */
bool proc_start_ticks(const char *stat, size_t length, uint64_t *ticks);
/* The inode in "socket:[INODE]", where a link in /proc/PID/fd points to. False: no socket. */
bool proc_socket_inode(const char *target, size_t length, uint32_t *inode);

#endif
