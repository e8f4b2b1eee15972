// SPDX-License-Identifier: MIT
/* Runs the iterators that account for the sockets that exist. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "stream_private.h"

/* Runs an iterator once; what it prints goes to consume in whole LISTENER frames. */
static bool run_iterator(int link, void (*consume)(const struct tt_listener_frame *, void *),
			 void *arg)
{
	static struct tt_listener_frame listeners[256];
	size_t used = 0;
	ssize_t n;
	int fd = bpf_iter_create(link);

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

static int link_of(const struct stream *stream, const char *program)
{
	for (size_t i = 0; i < stream->link_count; i++)
		if (!strcmp(stream->links[i].name, program))
			return stream->links[i].fd;
	return -1;
}

static bool run_pass(struct stream *stream, enum tt_pass pass,
		     void (*consume)(const struct tt_listener_frame *, void *), void *arg)
{
	stream->control->reconcile_pass = pass;
	return run_iterator(link_of(stream, "reconcile"), consume, arg);
}

struct hidden_arg {
	const struct stream *stream;
	bool complete;
};

static void find_hidden(void *arg)
{
	struct hidden_arg *in = arg;

	if (!run_iterator(link_of(in->stream, "reconcile_hidden"), NULL, NULL))
		in->complete = false;
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

/* Reconciles from one look for hidden sockets to the next when nothing was lost. */
#define HIDDEN_EVERY 10

/*
 * Events tell of every socket that comes to be; hidden ones are those older than us, and those of which
 * the kernel skipped the event. Each namespace costs a walk over all the sockets of the machine.
 */
static bool is_hidden_due(struct stream *stream)
{
	struct tt_stats_frame stats = {};
	uint64_t lost;

	stream_stats(stream, &stats);
	lost = stats.missed_probes + stats.sockets_full + stats.flows_full;
	if (stream->hidden_in && lost == stream->hidden_lost) {
		stream->hidden_in--;
		return false;
	}
	stream->hidden_in = HIDDEN_EVERY - 1;
	stream->hidden_lost = lost;
	return true;
}

static bool find_all_hidden(struct stream *stream)
{
	struct hidden_arg in = { .stream = stream,
				 .complete = namespaces_scan(&stream->namespaces) };

	stream->hidden_namespaces = namespaces_enter_each(&stream->namespaces, find_hidden, &in);
	if (!in.complete)
		stream->hidden_in = 0;
	return in.complete;
}

void stream_reconcile(struct stream *stream, struct stream_result *result)
{
	struct listener_arg to = { .map = stream->maps[MAP_LISTENERS] };
	bool complete;

	stream->control->reconcile_sockets = 0;
	stream->control->reconcile_unknown = 0;
	forget_listeners(to.map);
	complete = run_pass(stream, TT_PASS_KNOWN, note_listener, &to) && !to.full;
	/* Without all listeners the directions of old sockets would be guesses. */
	if (complete && stream->control->reconcile_unknown) {
		stream->control->reconcile_sockets = 0;
		complete = run_pass(stream, TT_PASS_CONNECTIONS, NULL, NULL);
	}
	/* Only now: what a process's files show has got its owner. */
	if (complete && is_hidden_due(stream))
		complete = find_all_hidden(stream);
	result->namespaces = stream->hidden_namespaces;
	result->reconciled = true;
	result->partial = !complete;
	result->sockets = stream->control->reconcile_sockets;
}
