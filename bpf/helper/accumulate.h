/* SPDX-License-Identifier: MIT */
/* Bundles counts by flow until the agent asks, as the BPF side's flow map does. */
#ifndef ACCUMULATE_H
#define ACCUMULATE_H

#include "table.h"
#include "../transtracer.h"

struct accumulator {
	struct table flows;
};

/* Counts that are zero but for their time. */
struct tt_flow_counts counts_at(uint64_t ns);

void accumulator_init(struct accumulator *accumulator);
/* Adds counts to the flow; the first and last times are widened. */
void accumulator_add(struct accumulator *accumulator, const struct tt_flow_key *key,
		     enum tt_found_by found_by, const struct tt_flow_counts *counts);
/* Writes a FLOW frame for each flow and starts anew. */
void accumulator_drain(struct accumulator *accumulator);

#endif
