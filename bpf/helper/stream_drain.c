// SPDX-License-Identifier: MIT
/* Takes what the programs have counted out of the kernel. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "frames.h"
#include "stream_names.h"
#include "stream_private.h"

#define SOCKETS_AT_ONCE 1024

struct taking {
	bool (*take)(const struct tt_flow_key *, const struct tt_flow_counts *, void *);
	void *arg;
	int map;
};

static void take_one(const struct tt_flow_key *key, const struct tt_flow_counts *counts, void *arg)
{
	const struct taking *taking = arg;

	if (taking->take(key, counts, taking->arg))
		bpf_map_delete_elem(taking->map, key);
}

void stream_take(struct stream *stream,
		 bool (*take)(const struct tt_flow_key *, const struct tt_flow_counts *, void *),
		 void *arg)
{
	struct taking taking = { .take = take, .arg = arg };

	/* What others counted stays: their sockets are known by now, and not found again. */
	taking.map = stream->generations.list[0].fd;
	generations_read(&stream->generations.list[0], take_one, &taking);
}

static void write_flow(const struct tt_flow_key *key, const struct tt_flow_counts *counts,
		       void *arg)
{
	uint16_t found_by = 0;
	struct tt_flow_frame flow;

	names_tell(arg, key, counts->first_ns);
	if (counts->found)
		found_by |= TT_BY_SNAPSHOT;
	if (counts->opened || counts->refused || counts->timed_out || counts->unreachable ||
	    counts->failed_other)
		found_by |= TT_BY_STREAM;
	flow.frame = FRAME(TT_FRAME_FLOW, struct tt_flow_frame, found_by);
	flow.key = *key;
	flow.counts = *counts;
	frames_write(&flow);
}

static void write_generation(struct stream *stream, struct generation *generation)
{
	struct tt_generation_frame frame = {
		.frame = FRAME(TT_FRAME_GENERATION, struct tt_generation_frame,
			       generation->fresh ? TT_GENERATION_FRESH : 0),
		.generation = generation->number,
	};

	frames_write(&frame);
	generations_read(generation, write_flow, stream);
	generation->told = true;
}

static void write_idle(struct stream *stream, const struct tt_socket *socket, struct table *told)
{
	struct tt_flow_counts nothing = { .first_ns = boot_ns() };
	bool is_new;

	nothing.last_ns = nothing.first_ns;
	if (socket->phase != TT_COUNTED)
		return;
	table_insert(told, &socket->key, &is_new);
	if (is_new)
		write_flow(&socket->key, &nothing, stream);
}

/*
 * An agent that takes over does not know which flows have connections that are open and idle: each of
 * these is told once, with nothing to count.
 */
static void write_all_idle(struct stream *stream)
{
	struct tt_generation_frame none = { .frame = FRAME(TT_FRAME_GENERATION,
							   struct tt_generation_frame, 0) };
	static struct tt_socket sockets[SOCKETS_AT_ONCE];
	static __u64 ids[SOCKETS_AT_ONCE];
	uint32_t position = 0, count;
	struct table told;
	bool first = true;
	int error;

	table_init(&told, sizeof(struct tt_flow_key), sizeof(struct tt_flow_key));
	frames_write(&none);
	do {
		count = SOCKETS_AT_ONCE;
		error = bpf_map_lookup_batch(stream->maps[MAP_SOCKETS], first ? NULL : &position,
					     &position, ids, sockets, &count, NULL);
		if (error && error != -ENOENT)
			die("cannot read the socket map: %s", strerror(-error));
		first = false;
		for (uint32_t i = 0; i < count; i++)
			write_idle(stream, &sockets[i], &told);
	} while (!error); /* ENOENT: that was the last batch, and its count is valid */
	table_free(&told);
}

uint64_t stream_drain(struct stream *stream)
{
	struct generations *generations = &stream->generations;

	stream_read(stream); /* names before numbers */
	if (generations_has_news(generations))
		generations_swap(generations);
	for (size_t i = 0; i + 1 < generations->count; i++)
		if (!generations->list[i].told)
			write_generation(stream, &generations->list[i]);
	if (stream->adopted && !stream->reported)
		write_all_idle(stream);
	stream->reported = true;
	generations_retain(generations);
	return generations_told(generations);
}

void stream_acknowledge(struct stream *stream, uint64_t generation)
{
	generations_acknowledge(&stream->generations, generation);
}

uint64_t stream_dropped(const struct stream *stream)
{
	return stream->generations.dropped;
}
