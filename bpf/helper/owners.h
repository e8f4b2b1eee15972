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

/* Visits every (inode, owner) for which wanted returns true, over all processes. */
void owners_visit_all(struct owners *owners, bool (*wanted)(uint32_t inode, void *arg),
		      void (*visit)(uint32_t inode, const struct owner *owner, void *arg),
		      void *arg);

#endif
