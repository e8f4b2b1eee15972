/* SPDX-License-Identifier: MIT */
/* What the parts of a stream share: stream.c, stream_drain.c, stream_reconcile.c. */
#ifndef STREAM_PRIVATE_H
#define STREAM_PRIVATE_H

#include "netns.h"
#include "stream.h"
#include "transtracer.skel.h"

#define BATCH 1024

struct stream {
	struct transtracer *bpf;
	struct ring_buffer *ring;
	struct namespaces namespaces;
	int current; /* which of flows_a and flows_b the programs count in */
	bool discard;
	struct tt_flow_key keys[BATCH];
	struct tt_flow_counts counts[BATCH];
};

#endif
