// SPDX-License-Identifier: MIT
/* What the programs, and the kernel that runs them, say of themselves. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "stream_private.h"

static void sum_stats(struct stream *stream, struct tt_kernel_stats *sum)
{
	int cpus = libbpf_num_possible_cpus();
	struct tt_kernel_stats per_cpu[cpus];
	uint32_t zero = 0;

	memset(sum, 0, sizeof(*sum));
	if (bpf_map_lookup_elem(stream->maps[MAP_STATS], &zero, per_cpu))
		return;
	for (int i = 0; i < cpus; i++) {
		sum->ring_lost += per_cpu[i].ring_lost;
		sum->flows_full += per_cpu[i].flows_full;
		sum->sockets_full += per_cpu[i].sockets_full;
		sum->pending_made += per_cpu[i].pending_made;
		sum->pending_resolved += per_cpu[i].pending_resolved;
	}
}

bool stream_has_pending(struct stream *stream)
{
	struct tt_kernel_stats sum;

	sum_stats(stream, &sum);
	return sum.pending_made != sum.pending_resolved;
}

/*
 * Executions the kernel skipped because the program ran on that CPU already (since 5.12). A transition is
 * missed only where all programs on state changes were skipped for it. Where the kernel does not preempt
 * them two are enough for none to be: only a packet interrupts a task, and nothing a packet's work, so
 * that one of the two is free. Where it does there is a third, and the least of the three sums is the
 * most that can have been missed.
 */
#define PREEMPTED_PROGRAMS 3

static uint64_t missed_probes(struct stream *stream)
{
	uint64_t others = 0, by_state = UINT64_MAX;
	size_t state_programs = 0;

	for (size_t i = 0; i < stream->link_count; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(stream->links[i].program_fd, &info, &size))
			continue;
		if (strncmp(stream->links[i].name, "on_state", strlen("on_state"))) {
			others += info.recursion_misses;
			continue;
		}
		state_programs++;
		if (info.recursion_misses < by_state)
			by_state = info.recursion_misses;
	}
	return others + (state_programs == PREEMPTED_PROGRAMS ? by_state : 0);
}

void stream_stats(struct stream *stream, struct tt_stats_frame *stats)
{
	struct tt_kernel_stats sum;

	sum_stats(stream, &sum);
	stats->ring_lost = sum.ring_lost;
	stats->flows_full = sum.flows_full;
	stats->sockets_full = sum.sockets_full;
	stats->missed_probes = missed_probes(stream);
}
