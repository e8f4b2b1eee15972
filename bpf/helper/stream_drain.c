// SPDX-License-Identifier: MIT
/* Takes what the programs have counted out of the kernel. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "frames.h"
#include "stream_private.h"

void stream_take(struct stream *stream,
		 void (*visit)(const struct tt_flow_key *, const struct tt_flow_counts *, void *),
		 void *arg)
{
	struct bpf_map *maps[2] = { stream->bpf->maps.flows_a, stream->bpf->maps.flows_b };
	int old = bpf_map__fd(maps[stream->current]);
	int fresh = bpf_map__fd(maps[!stream->current]);
	uint32_t zero = 0, position = 0, count;
	bool first = true;
	int error;

	/* Returns when no program uses the old map any more (maybe_wait_bpf_programs). */
	error = bpf_map_update_elem(bpf_map__fd(stream->bpf->maps.flows), &zero, &fresh, BPF_ANY);
	if (error)
		die("cannot swap the flow maps: %s", strerror(-error));
	stream->current = !stream->current;

	do {
		count = BATCH;
		error = bpf_map_lookup_and_delete_batch(old, first ? NULL : &position, &position,
							stream->keys, stream->counts, &count, NULL);
		if (error && error != -ENOENT)
			die("cannot drain the flow map: %s", strerror(-error));
		first = false;
		for (uint32_t i = 0; i < count; i++)
			visit(&stream->keys[i], &stream->counts[i], arg);
	} while (!error); /* ENOENT: that was the last batch, and its count is valid */
}

static void write_flow(const struct tt_flow_key *key, const struct tt_flow_counts *counts,
		       void *arg)
{
	uint16_t found_by = 0;
	struct tt_flow_frame flow;

	(void)arg;
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

void stream_drain(struct stream *stream)
{
	stream_read(stream); /* names before numbers */
	stream_take(stream, write_flow, NULL);
}
