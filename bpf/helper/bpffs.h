/* SPDX-License-Identifier: MIT */
/* The file system that keeps BPF objects alive. */
#ifndef BPFFS_H
#define BPFFS_H

#include "helper.h"

bool bpffs_mounted(void);
/*
 * Makes a directory in it, mounting the file system where it is missing, and locks it. Returns the
 * descriptor that holds the lock, or -1 and says in text (TT_TEXT_SIZE bytes) why not.
 */
int bpffs_take(const char *dir, char *text);

#endif
