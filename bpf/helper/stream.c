// SPDX-License-Identifier: MIT
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "frames.h"
#include "libbpf_log.h"
#include "stream_names.h"
#include "stream_private.h"

/* How many parameters a function of the kernel has; -1: there is no such function. */
static int parameters_of(const char *function)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *type;
	int id, count = -1;

	if (libbpf_get_error(btf))
		return -1;
	id = btf__find_by_name_kind(btf, function, BTF_KIND_FUNC);
	if (id > 0) {
		type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);
		count = btf_vlen(type);
	}
	btf__free(btf);
	return count;
}

/*
 * a46023d5616e ("tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast", 7.0) lets
 * the kernel preempt programs on tracepoints.
 */
static bool preempts_tracepoints(void)
{
	struct utsname kernel;

	return !uname(&kernel) && strtoul(kernel.release, NULL, 10) >= 7;
}

static void choose_programs(struct transtracer *bpf, int rung)
{
	bool fentry = rung == TT_RUNG_FENTRY;
	bool kprobe = rung == TT_RUNG_KPROBE;
	/*
	 * Four until 6.9, two from 6.10 on. The wrong program loads on some kernels and reads a wrong
	 * socket, so the kernel's BTF decides.
	 */
	int parameters = fentry ? parameters_of("inet_csk_accept") : 0;

	bpf_program__set_autoload(bpf->progs.on_state_missed_twice, preempts_tracepoints());
	bpf_program__set_autoload(bpf->progs.fentry_tcp_connect, fentry);
	bpf_program__set_autoload(bpf->progs.fexit_accept_4, fentry && parameters != 2);
	bpf_program__set_autoload(bpf->progs.fexit_accept_2, fentry && parameters == 2);
	bpf_program__set_autoload(bpf->progs.kprobe_tcp_connect, kprobe);
	bpf_program__set_autoload(bpf->progs.kretprobe_accept, kprobe);
	bpf_program__set_autoload(bpf->progs.kprobe_sock_graft,
				  kprobe && parameters_of("security_sock_graft") > 0);
}

static int configure(struct transtracer *bpf, const struct options *options, int rung)
{
	int error;

	choose_programs(bpf, rung);
	/* The template of the outer map keeps its size: hash maps of any size fit in. */
	bpf->rodata->only_netns = options->own_netns ? own_netns() : 0;
	bpf->rodata->connect_by_state = rung == TT_RUNG_TRACEPOINT;
	error = bpf_map__set_max_entries(bpf->maps.sockets, options->max_sockets);
	error = error ?: bpf_map__set_max_entries(bpf->maps.flows_first, options->max_flows);
	error = error ?: bpf_map__set_max_entries(bpf->maps.ring, options->ring_bytes);
	return error ?: bpf_map__set_max_entries(bpf->maps.announced, options->max_flows);
}

static int on_announcement(void *arg, void *frame, size_t size)
{
	struct stream *stream = arg;

	(void)size;
	if (stream->discard)
		return 0;
	names_note(stream, frame);
	frames_write(frame);
	return 0;
}

const char *const stream_map_names[STREAM_MAPS] = {
	[MAP_RING] = "ring",	       [MAP_FLOWS] = "flows",	      [MAP_SOCKETS] = "sockets",
	[MAP_ANNOUNCED] = "announced", [MAP_LISTENERS] = "listeners", [MAP_STATS] = "stats",
	[MAP_CONTROL] = "control",
};

struct stream *stream_new(const struct options *options)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		die("out of memory");
	for (int i = 0; i < STREAM_MAPS; i++)
		stream->maps[i] = -1;
	stream->carried_announced = -1;
	table_init(&stream->named, sizeof(struct tt_flow_key), sizeof(struct tt_flow_key));
	namespaces_init(&stream->namespaces, options->own_netns);
	stream->namespaces.without_sockets = true;
	return stream;
}

int stream_begin(struct stream *stream)
{
	void *control = mmap(NULL, (size_t)getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED,
			     stream->maps[MAP_CONTROL], 0);

	if (control == MAP_FAILED)
		return errno;
	stream->control = control;
	stream->ring = ring_buffer__new(stream->maps[MAP_RING], on_announcement, stream, NULL);
	return stream->ring ? 0 : errno;
}

static void take_descriptors(struct stream *stream)
{
	struct transtracer *bpf = stream->bpf;
	const struct bpf_object_skeleton *skeleton = bpf->skeleton;

	stream->maps[MAP_RING] = bpf_map__fd(bpf->maps.ring);
	stream->maps[MAP_FLOWS] = bpf_map__fd(bpf->maps.flows);
	stream->maps[MAP_SOCKETS] = bpf_map__fd(bpf->maps.sockets);
	stream->maps[MAP_ANNOUNCED] = bpf_map__fd(bpf->maps.announced);
	stream->maps[MAP_LISTENERS] = bpf_map__fd(bpf->maps.listeners);
	stream->maps[MAP_STATS] = bpf_map__fd(bpf->maps.stats);
	stream->maps[MAP_CONTROL] = bpf_map__fd(bpf->maps.bss);
	for (int i = 0; i < skeleton->prog_cnt && stream->link_count < MAX_LINKS; i++) {
		struct stream_link *link = &stream->links[stream->link_count];

		if (!*skeleton->progs[i].link)
			continue;
		snprintf(link->name, sizeof(link->name), "%s", skeleton->progs[i].name);
		link->fd = bpf_link__fd(*skeleton->progs[i].link);
		link->program_fd = bpf_program__fd(*skeleton->progs[i].prog);
		stream->link_count++;
	}
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
	take_descriptors(stream);
	/* A descriptor of its own: the object closes its one. */
	generations_begin(&stream->generations, stream->maps[MAP_FLOWS],
			  dup(bpf_map__fd(stream->bpf->maps.flows_first)), 1);
	return stream_begin(stream);
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
	*stream = stream_new(options);
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
	if (stream->control)
		munmap(stream->control, (size_t)getpagesize());
	generations_close(&stream->generations);
	table_free(&stream->named);
	for (int i = 0; !stream->bpf && i < STREAM_MAPS; i++)
		close(stream->maps[i]);
	for (size_t i = 0; !stream->bpf && i < stream->link_count; i++) {
		close(stream->links[i].fd);
		close(stream->links[i].program_fd);
	}
	transtracer__destroy(stream->bpf);
	free(stream);
}

int stream_fd(const struct stream *stream)
{
	return stream->maps[MAP_RING];
}

bool stream_is_adopted(const struct stream *stream)
{
	return stream->adopted;
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
