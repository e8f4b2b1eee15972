/* SPDX-License-Identifier: MIT */
/*
 * What was counted, in slices: one map for each time between two drains. The newest is the one that
 * the programs count in; older ones are kept until the agent says that it keeps them elsewhere.
 */
#ifndef GENERATIONS_H
#define GENERATIONS_H

#include "helper.h"

struct generation {
	uint64_t number;
	int fd;
	bool told;
	bool compact; /* no larger than what is in it */
	bool fresh; /* the first of newly attached programs */
	uint32_t entries;
};

struct generations {
	int outer; /* map of one map: the newest generation's */
	const char *dir; /* in bpffs; NULL: not kept once told */
	struct generation *list; /* oldest first, never empty */
	size_t count;
	uint64_t dropped; /* up to this one: kept too long, or not taken over */
};

typedef void visit_counts(const struct tt_flow_key *key, const struct tt_flow_counts *counts,
			  void *arg);

/* Begins with a map that the programs count in already. */
void generations_begin(struct generations *generations, int outer, int fd, uint64_t number);
/*
 * Takes over those that are pinned in dir. With an outer of -1 no program counts in any of them: a
 * generation of other programs is to follow (generations_begin). Returns 0, or an errno.
 */
int generations_adopt(struct generations *generations, int outer, const char *dir);
/* Pins all there are in dir, from now on also those to come. 0, or an errno. */
int generations_pin(struct generations *generations, const char *dir);
/* Puts earlier ones before those there are; empties earlier. */
void generations_prepend(struct generations *generations, struct generations *earlier);
void generations_close(struct generations *generations);

/* Is there something to tell? What is counted meanwhile is for the next time. */
bool generations_has_news(const struct generations *generations);
/* Has the programs count in a new one. False when there is no memory: then they go on as before. */
bool generations_swap(struct generations *generations);
/* All that a generation has counted. */
void generations_read(struct generation *generation, visit_counts *visit, void *arg);
/* Number of the newest that was told; 0: none. */
uint64_t generations_told(const struct generations *generations);
/* Lets go of those up to this number. */
void generations_acknowledge(struct generations *generations, uint64_t number);
/* After a report: what was told stays for as long as there is room, and takes no more than it needs. */
void generations_retain(struct generations *generations);

#endif
