// SPDX-License-Identifier: MIT
#include "stream.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "libbpf_log.h"
#include "netns.h"
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

/*
 * inet_csk_accept has four parameters until 6.9 and two from 6.10 on. The wrong program loads on
 * some kernels and reads a wrong socket, so the kernel's BTF decides. 0: not found.
 */
static int accept_parameters(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *type;
	int id, count = 0;

	if (libbpf_get_error(btf))
		return 0;
	id = btf__find_by_name_kind(btf, "inet_csk_accept", BTF_KIND_FUNC);
	if (id > 0) {
		type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);
		count = btf_vlen(type);
	}
	btf__free(btf);
	return count;
}

static void choose_programs(struct transtracer *bpf, int rung)
{
	int parameters = rung == TT_RUNG_FENTRY ? accept_parameters() : 0;
	bool fentry = rung == TT_RUNG_FENTRY;
	bool kprobe = rung == TT_RUNG_KPROBE;

	bpf_program__set_autoload(bpf->progs.fentry_tcp_connect, fentry);
	bpf_program__set_autoload(bpf->progs.fexit_accept_4, fentry && parameters != 2);
	bpf_program__set_autoload(bpf->progs.fexit_accept_2, fentry && parameters == 2);
	bpf_program__set_autoload(bpf->progs.kprobe_tcp_connect, kprobe);
	bpf_program__set_autoload(bpf->progs.kretprobe_accept, kprobe);
}

static int configure(struct transtracer *bpf, const struct options *options, int rung)
{
	int error;

	choose_programs(bpf, rung);
	/* The template of the outer map keeps its size: hash maps of any size fit in. */
	bpf->rodata->only_netns = options->own_netns ? own_netns() : 0;
	bpf->rodata->connect_by_state = rung == TT_RUNG_TRACEPOINT;
	error = bpf_map__set_max_entries(bpf->maps.sockets, options->max_sockets);
	error = error ?: bpf_map__set_max_entries(bpf->maps.flows_a, options->max_flows);
	error = error ?: bpf_map__set_max_entries(bpf->maps.flows_b, options->max_flows);
	return error ?: bpf_map__set_max_entries(bpf->maps.announced, options->max_flows);
}

static int on_announcement(void *arg, void *frame, size_t size)
{
	struct stream *stream = arg;

	(void)size;
	if (!stream->discard)
		frames_write(frame);
	return 0;
}

static int load(struct stream *stream, const struct options *options, int rung)
{
	int error;

	stream->bpf = transtracer__open();
	if (!stream->bpf)
		return errno;
	error = configure(stream->bpf, options, rung);
	error = error ?: transtracer__load(stream->bpf);
	error = error ?: transtracer__attach(stream->bpf);
	if (error)
		return -error;
	namespaces_init(&stream->namespaces, options->own_netns);
	stream->namespaces.without_sockets = true;
	stream->ring = ring_buffer__new(bpf_map__fd(stream->bpf->maps.ring), on_announcement,
					stream, NULL);
	return stream->ring ? 0 : errno;
}

/*
 * Where there is no perf PMU for kprobes (before 4.17, or built without), libbpf would write names
 * into kprobe_events, where two agents collide.
 */
static bool lacks_kprobes(int rung)
{
	return rung == TT_RUNG_KPROBE && access("/sys/bus/event_source/devices/kprobe/type", F_OK);
}

int stream_open(const struct options *options, int rung, struct stream **stream, char *text)
{
	int error;

	*stream = NULL;
	if (lacks_kprobes(rung)) {
		snprintf(text, TT_TEXT_SIZE, "ENOENT: this kernel has no perf PMU for kprobes");
		return ENOENT;
	}
	*stream = calloc(1, sizeof(**stream));
	if (!*stream)
		die("out of memory");
	libbpf_log_reset();
	error = load(*stream, options, rung);
	if (error) {
		libbpf_log_reason(error, text, TT_TEXT_SIZE);
		stream_close(*stream);
		*stream = NULL;
	}
	return error;
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	ring_buffer__free(stream->ring);
	transtracer__destroy(stream->bpf);
	free(stream);
}

int stream_fd(const struct stream *stream)
{
	return ring_buffer__epoll_fd(stream->ring);
}

void stream_read(struct stream *stream)
{
	int error = ring_buffer__consume(stream->ring);

	if (error < 0)
		die("cannot read the ring buffer: %s", strerror(-error));
}

void stream_discard(struct stream *stream)
{
	stream->discard = true;
	stream_read(stream);
	stream->discard = false;
}

/* ---- drain ---- */

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

/* ---- reconcile ---- */

/* Runs an iterator once; what it prints goes to consume in whole LISTENER frames. */
static bool run_iterator(struct bpf_link *link,
			 void (*consume)(const struct tt_listener_frame *, void *), void *arg)
{
	static struct tt_listener_frame listeners[256];
	size_t used = 0;
	ssize_t n;
	int fd = bpf_iter_create(bpf_link__fd(link));

	if (fd < 0) {
		warn("cannot start a reconcile: %s", strerror(-fd));
		return false;
	}
	while ((n = read(fd, (char *)listeners + used, sizeof(listeners) - used)) != 0) {
		size_t whole;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			break;
		used += (size_t)n;
		whole = used / sizeof(listeners[0]);
		for (size_t i = 0; i < whole; i++)
			consume(&listeners[i], arg);
		used -= whole * sizeof(listeners[0]);
		memmove(listeners, &listeners[whole], used);
	}
	if (n < 0)
		warn("a reconcile ended early: %s", strerror(errno));
	close(fd);
	return n == 0;
}

static bool run_pass(struct stream *stream, enum tt_pass pass,
		     void (*consume)(const struct tt_listener_frame *, void *), void *arg)
{
	stream->bpf->bss->reconcile_pass = pass;
	return run_iterator(stream->bpf->links.reconcile, consume, arg);
}

static void find_hidden(void *arg)
{
	struct stream *stream = arg;

	run_iterator(stream->bpf->links.reconcile_hidden, NULL, NULL);
}

static void forget_listeners(int map)
{
	struct tt_listener_key key;

	while (!bpf_map_get_next_key(map, NULL, &key))
		bpf_map_delete_elem(map, &key);
}

struct listener_arg {
	int map;
	bool full;
};

static void note_listener(const struct tt_listener_frame *listener, void *arg)
{
	struct tt_listener_key key = { .netns = listener->netns, .port = listener->port };
	struct listener_arg *to = arg;
	uint8_t one = 1;

	memcpy(key.local, listener->local, sizeof(key.local));
	if (bpf_map_update_elem(to->map, &key, &one, BPF_ANY))
		to->full = true;
	frames_write(listener);
}

void stream_reconcile(struct stream *stream, struct stream_result *result)
{
	struct listener_arg to = { .map = bpf_map__fd(stream->bpf->maps.listeners) };
	bool complete;

	stream->bpf->bss->reconcile_sockets = 0;
	forget_listeners(to.map);
	complete = run_pass(stream, TT_PASS_LISTENERS, note_listener, &to) && !to.full;
	/* Without all listeners the directions of old sockets would be guesses. */
	if (complete)
		complete = run_pass(stream, TT_PASS_CONNECTIONS, NULL, NULL);
	/* Only now: what a process's files show has got its owner. */
	if (complete) {
		namespaces_scan(&stream->namespaces);
		result->namespaces =
			namespaces_enter_each(&stream->namespaces, find_hidden, stream);
	}
	result->reconciled = true;
	result->partial = !complete;
	result->sockets = stream->bpf->bss->reconcile_sockets;
}

/* ---- stats ---- */

static void sum_stats(struct stream *stream, struct tt_kernel_stats *sum)
{
	int cpus = libbpf_num_possible_cpus();
	struct tt_kernel_stats per_cpu[cpus];
	uint32_t zero = 0;

	memset(sum, 0, sizeof(*sum));
	if (bpf_map_lookup_elem(bpf_map__fd(stream->bpf->maps.stats), &zero, per_cpu))
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

/* Executions the kernel skipped because the program ran on that CPU already (since 5.12). */
static uint64_t missed_probes(struct stream *stream)
{
	struct bpf_program *program;
	uint64_t missed = 0;

	bpf_object__for_each_program(program, stream->bpf->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
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
