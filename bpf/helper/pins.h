/* SPDX-License-Identifier: MIT */
/*
 * A stream that outlives its helper: links, maps and counts pinned in a directory of bpffs, which the
 * next helper takes over. One helper at a time works with a directory.
 */
#ifndef PINS_H
#define PINS_H

#include "generations.h"
#include "stream.h"

/* One step of the attach ladder, for a successor to tell. */
struct tried {
	uint32_t known;
	int32_t error;
	char text[TT_TEXT_SIZE];
};

#define RUNGS (TT_RUNG_FENTRY + 1)

/* What is pinned: the value of a map of its own. */
struct pin_set {
	uint32_t abi_version; /* first, whatever else changes */
	uint32_t rung;
	uint64_t object; /* hash of the BPF object */
	uint32_t only_netns;
	uint32_t max_flows;
	uint32_t max_sockets;
	uint32_t zero;
	uint64_t set_id; /* names the series of generations: outlives another object */
	uint64_t dropped; /* generations up to this one found no room */
	struct tried tried[RUNGS];
};

struct pins {
	char dir[256];
	int lock_fd;
	int set_fd; /* the map; -1: nothing is pinned */
	struct pin_set set;
	/* Of a set that could not be taken over as it is. */
	struct generations carried;
	int carried_announced; /* map, or -1 */
};

/* Mounts bpffs where it is missing, makes the directory and locks it. Or says in text why not. */
bool pins_open(struct pins *pins, const char *dir, char *text);
/*
 * Takes over what is pinned, if it is what these options and this program would make. Else takes it
 * down but for its counts, says in text why, and returns NULL.
 */
struct stream *pins_adopt(struct pins *pins, const struct options *options, char *text);
/* Pins a stream that has just been made. Or says in text why not; it then goes on unpinned. */
bool pins_keep(struct pins *pins, struct stream *stream, const struct options *options, int rung,
	       const struct tried *tried, char *text);
/* Notes what generations_retain let go of. */
void pins_note_dropped(struct pins *pins, uint64_t dropped);
/* Removes all that is pinned. */
void pins_clear(struct pins *pins);

#endif
