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
 * Executions the kernel skipped because the program ran on that CPU already (since 5.12). What the
 * programs on state changes were skipped for is missed only where their stand-in was skipped, too.
 */
static uint64_t missed_probes(struct stream *stream)
{
	uint64_t others = 0, by_state = 0, stand_in = UINT64_MAX;

	for (size_t i = 0; i < stream->link_count; i++) {
		const char *name = stream->links[i].name;
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(stream->links[i].program_fd, &info, &size))
			continue;
		if (!strcmp(name, "on_state_missed"))
			stand_in = info.recursion_misses;
		else if (!strncmp(name, "on_state_", strlen("on_state_")))
			by_state += info.recursion_misses;
		else
			others += info.recursion_misses;
	}
	return others + (by_state < stand_in ? by_state : stand_in);
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
