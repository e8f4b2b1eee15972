/* SPDX-License-Identifier: MIT */
/* What the parts of a stream share: stream.c, stream_drain.c, stream_reconcile.c, stream_stats.c, pins.c. */
#ifndef STREAM_PRIVATE_H
#define STREAM_PRIVATE_H

#include "generations.h"
#include "netns.h"
#include "stream.h"
#include "table.h"
#include "transtracer.skel.h"

#define MAX_LINKS 16

enum stream_map {
	MAP_RING,
	MAP_FLOWS,
	MAP_SOCKETS,
	MAP_ANNOUNCED,
	MAP_LISTENERS,
	MAP_STATS,
	MAP_CONTROL, /* global variables of the programs */
	STREAM_MAPS,
};

extern const char *const stream_map_names[STREAM_MAPS];

struct stream_link {
	char name[32]; /* of the program */
	int fd;
	int program_fd;
};

struct stream {
	struct transtracer *bpf; /* owns maps, links and programs; NULL: adopted, we own them */
	int maps[STREAM_MAPS];
	struct stream_link links[MAX_LINKS];
	size_t link_count;
	struct transtracer__bss *control;
	struct ring_buffer *ring;
	struct namespaces namespaces;
	uint32_t hidden_namespaces; /* looked into for hidden sockets, the last time */
	uint32_t hidden_in; /* reconciles until the next time, if nothing is lost */
	uint64_t hidden_lost; /* events lost until the last time */
	struct generations generations;
	struct table named; /* flows whose process was told */
	int carried_announced; /* of an earlier set, or -1 */
	bool adopted;
	bool reported;
	bool discard;
};

struct stream *stream_new(const struct options *options);
/* Makes ready what maps and links are in place for. 0, or an errno. */
int stream_begin(struct stream *stream);

#endif
