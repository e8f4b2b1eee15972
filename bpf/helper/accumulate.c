// SPDX-License-Identifier: MIT
#include "accumulate.h"

#include "frames.h"

struct bundle_key {
	struct tt_flow_key flow;
	uint64_t found_by;
};

struct bundle {
	struct bundle_key key;
	struct tt_flow_counts counts;
};

struct tt_flow_counts counts_at(uint64_t ns)
{
	return (struct tt_flow_counts){ .first_ns = ns, .last_ns = ns };
}

void accumulator_init(struct accumulator *accumulator)
{
	table_init(&accumulator->flows, sizeof(struct bundle), sizeof(struct bundle_key));
}

void accumulator_add(struct accumulator *accumulator, const struct tt_flow_key *key,
		     enum tt_found_by found_by, const struct tt_flow_counts *counts)
{
	struct bundle_key bundle_key = { .flow = *key, .found_by = found_by };
	struct bundle *bundle;
	struct tt_flow_counts *sum;
	bool is_new;

	bundle = table_insert(&accumulator->flows, &bundle_key, &is_new);
	sum = &bundle->counts;
	if (is_new || counts->first_ns < sum->first_ns)
		sum->first_ns = counts->first_ns;
	if (counts->last_ns > sum->last_ns)
		sum->last_ns = counts->last_ns;
	sum->bytes_sent += counts->bytes_sent;
	sum->bytes_received += counts->bytes_received;
	sum->opened += counts->opened;
	sum->found += counts->found;
	sum->closed += counts->closed;
	sum->refused += counts->refused;
	sum->timed_out += counts->timed_out;
	sum->unreachable += counts->unreachable;
	sum->failed_other += counts->failed_other;
	sum->retransmits += counts->retransmits;
}

void accumulator_drain(struct accumulator *accumulator)
{
	struct bundle *bundle;
	size_t i = 0;

	while ((bundle = table_next(&accumulator->flows, &i))) {
		struct tt_flow_frame flow = {
			.frame = FRAME(TT_FRAME_FLOW, struct tt_flow_frame,
				       (uint16_t)bundle->key.found_by),
			.key = bundle->key.flow,
			.counts = bundle->counts,
		};

		frames_write(&flow);
	}
	table_clear(&accumulator->flows);
}
