/* SPDX-License-Identifier: MIT */
/* Which processes hold which sockets, from /proc/PID/fd (proc(5)). */
#ifndef OWNERS_H
#define OWNERS_H

#include "table.h"
#include "helper.h"

struct owner {
	uint32_t tgid;
	uint64_t start_ns; /* to the tick of /proc/PID/stat */
};

struct owners {
	struct table wanted; /* of struct wanted: sockets whose first owner is looked for */
	struct table busy; /* pids that held a wanted socket lately: looked at first */
	uint64_t vanished; /* processes that went away in mid-scan, in all */
};

void owners_init(struct owners *owners);

/* ---- the first owner of each of many sockets ---- */

void owners_want(struct owners *owners, uint32_t inode);
/* Scans processes, likely ones first, until every wanted socket has an owner or none is left. */
void owners_resolve(struct owners *owners);
/* The owner found, or NULL. */
const struct owner *owners_of(const struct owners *owners, uint32_t inode);
/* Forgets what was wanted and found. */
void owners_forget(struct owners *owners);

/* ---- all owners of a few sockets ---- */

/* fd: number of the owner's descriptor. */
typedef void owners_visit(uint32_t inode, const struct owner *owner, const char *fd, void *arg);

/* Visits every (inode, owner) for which wanted returns true, over all processes. */
void owners_visit_all(struct owners *owners, bool (*wanted)(uint32_t inode, void *arg),
		      owners_visit *visit, void *arg);

/* ---- what an owner may have passed on ---- */

/* Has a process that an owner executes the descriptor, too? */
bool owners_is_inheritable(uint32_t tgid, const char *fd);
/*
 * Has the process children, or had it some? Not told: of several threads those that others than the
 * first have, and those that nobody waited for.
 */
bool owners_had_children(uint32_t tgid);

#endif
