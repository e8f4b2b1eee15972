/* SPDX-License-Identifier: MIT */
/* Sees to it that the agent knows who is behind each flow it is told of. */
#ifndef STREAM_NAMES_H
#define STREAM_NAMES_H

#include "stream.h"

/* A frame of the ring is passed on: if it is a FIRST, the process of its flow is told. */
void names_note(struct stream *stream, const struct tt_frame *frame);
/* Writes a FIRST frame for a flow whose process this helper has not told, if the kernel knows it. */
void names_tell(struct stream *stream, const struct tt_flow_key *key, uint64_t boot_ns);

#endif
