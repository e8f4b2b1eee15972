// SPDX-License-Identifier: MIT
#include "stream_names.h"

#include <bpf/bpf.h>

#include "frames.h"
#include "stream_private.h"

/* Of more the agent is told anew: that costs a frame and changes nothing. */
#define MAX_NAMED 65536

static bool note(struct stream *stream, const struct tt_flow_key *key)
{
	bool is_new;

	if (stream->named.count >= MAX_NAMED)
		table_clear(&stream->named);
	table_insert(&stream->named, key, &is_new);
	return is_new;
}

void names_note(struct stream *stream, const struct tt_frame *frame)
{
	if (frame->type == TT_FRAME_FIRST)
		note(stream, &((const struct tt_first_frame *)frame)->key);
}

static bool find(int map, const struct tt_flow_key *key, struct tt_identity *identity)
{
	/* An entry may serve another flow by now: the kernel reuses those it evicts at once. */
	return map >= 0 && !bpf_map_lookup_elem(map, key, identity) &&
	       identity->tgid == key->tgid && identity->start_ns == key->start_ns;
}

void names_tell(struct stream *stream, const struct tt_flow_key *key, uint64_t boot_ns)
{
	struct tt_first_frame first = { .frame = FRAME(TT_FRAME_FIRST, struct tt_first_frame, 0),
					.boot_ns = boot_ns,
					.key = *key };

	if (!key->tgid || !note(stream, key))
		return;
	if (find(stream->maps[MAP_ANNOUNCED], key, &first.identity) ||
	    find(stream->carried_announced, key, &first.identity))
		frames_write(&first);
}
