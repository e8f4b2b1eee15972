// SPDX-License-Identifier: MIT
/*
 * ttracer-helper: the one privileged process that looks into the kernel. Climbs the attach ladder,
 * says HELLO, then answers requests from stdin with frames on stdout (transtracer.h) until stdin
 * ends. See options.c for its arguments; they are for the agent and for doctor, not for people.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "frames.h"
#include "ladder.h"
#include "libbpf_log.h"
#include "options.h"
#include "pins.h"
#include "poll.h"
#include "probe.h"
#include "ring_watch.h"

/* Either stream or poll is set. */
struct helper {
	struct stream *stream;
	struct ring_watch ring;
	struct poll *poll;
	int rung;
	int signal_fd;
	struct pins pins;
	bool pinned;
	struct tried tried[RUNGS];
};

static int epoll_fd = -1;

static void watch(int fd, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event))
		die("cannot watch a descriptor: %s", strerror(errno));
}

static void note_rung(int rung, int error, const char *text, void *arg)
{
	struct helper *helper = arg;
	struct tried *tried = &helper->tried[rung];

	*tried = (struct tried){ .known = 1, .error = error };
	snprintf(tried->text, sizeof(tried->text), "%s", text);
}

static void write_rungs(const struct helper *helper)
{
	for (int rung = TT_RUNG_FENTRY; rung >= TT_RUNG_POLL; rung--) {
		const struct tried *tried = &helper->tried[rung];
		struct tt_rung_frame frame = {
			.frame = FRAME(TT_FRAME_RUNG, struct tt_rung_frame, 0),
			.rung = (uint32_t)rung,
			.error = tried->error,
		};

		snprintf(frame.text, sizeof(frame.text), "%s", tried->text);
		if (tried->known)
			frames_write(&frame);
	}
}

static void write_hello(const struct helper *helper, const struct options *options)
{
	struct tt_hello hello = {
		.frame = FRAME(TT_FRAME_HELLO, struct tt_hello, 0),
		.abi_version = TT_ABI_VERSION,
		.rung = (uint32_t)helper->rung,
		.boot_ns = boot_ns(),
		.wall_ns = wall_ns(),
		.pid = (uint32_t)getpid(),
		.netns = own_netns(),
		.flow_frame_size = sizeof(struct tt_flow_frame),
		.first_frame_size = sizeof(struct tt_first_frame),
		.listen_frame_size = sizeof(struct tt_listen_frame),
		.stats_frame_size = sizeof(struct tt_stats_frame),
		.done_frame_size = sizeof(struct tt_done_frame),
	};
	struct utsname name;

	if (helper->poll && poll_has_notices(helper->poll))
		hello.features |= TT_FEATURE_DESTROY_NOTICES;
	if (!options->own_netns)
		hello.features |= TT_FEATURE_ALL_NETNS;
	if (helper->pinned) {
		hello.features |= TT_FEATURE_PINNED;
		hello.set_id = helper->pins.set.set_id;
		hello.dropped_generation = stream_dropped(helper->stream);
		if (stream_is_adopted(helper->stream))
			hello.features |= TT_FEATURE_ADOPTED;
	}
	if (!uname(&name))
		snprintf(hello.release, sizeof(hello.release), "%.63s", name.release);
	frames_write(&hello);
}

static void write_stats(struct helper *helper)
{
	struct tt_stats_frame stats = { .frame = FRAME(TT_FRAME_STATS, struct tt_stats_frame, 0) };

	if (helper->stream)
		stream_stats(helper->stream, &stats);
	else
		poll_stats(helper->poll, &stats);
	frames_write(&stats);
}

static void answer_stream(struct stream *stream, bool snapshot, struct tt_done_frame *done)
{
	struct stream_result result = {};

	if (snapshot || stream_has_pending(stream))
		stream_reconcile(stream, &result);
	done->generation = stream_drain(stream);
	done->sockets = result.sockets;
	done->namespaces = result.namespaces;
	if (result.reconciled)
		done->frame.flags |= TT_DONE_SNAPSHOT;
	if (result.partial)
		done->frame.flags |= TT_DONE_PARTIAL;
}

static void answer_poll(struct poll *poll, bool snapshot, uint16_t flags,
			struct tt_done_frame *done)
{
	struct poll_result result = {};

	if (snapshot) {
		poll_snapshot(poll, flags, &result);
		done->frame.flags |= TT_DONE_SNAPSHOT;
	}
	if (result.partial)
		done->frame.flags |= TT_DONE_PARTIAL;
	poll_drain(poll);
	done->sockets = result.sockets;
	done->namespaces = result.namespaces;
}

static void answer(const struct tt_request *request, void *arg)
{
	struct helper *helper = arg;
	struct tt_done_frame done = { .frame = FRAME(TT_FRAME_DONE, struct tt_done_frame, 0),
				      .request_id = request->request_id };
	bool snapshot = request->frame.type == TT_REQUEST_SNAPSHOT;

	if (request->frame.type == TT_REQUEST_ACKNOWLEDGE) {
		if (helper->stream)
			stream_acknowledge(helper->stream, request->request_id);
		return;
	}
	if (helper->stream)
		answer_stream(helper->stream, snapshot, &done);
	else
		answer_poll(helper->poll, snapshot, request->frame.flags, &done);
	write_stats(helper);
	done.boot_ns = boot_ns();
	done.wall_ns = wall_ns();
	frames_write(&done);
	if (helper->pinned)
		pins_note_dropped(&helper->pins, stream_dropped(helper->stream));
}

static int open_signals(void)
{
	sigset_t ends;

	signal(SIGPIPE, SIG_IGN); /* a write then says EPIPE */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void serve(struct helper *helper)
{
	struct epoll_event events[16];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, 16, ring_watch_timeout(&helper->ring));

		if (n < 0 && errno != EINTR)
			die("cannot wait: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == helper->signal_fd)
				return;
			if (fd == STDIN_FILENO) {
				if (!frames_read_requests(answer, helper))
					return;
			} else if (helper->stream) {
				ring_watch_ready(&helper->ring);
			} else {
				poll_read_notices(helper->poll, fd);
			}
		}
		ring_watch_tick(&helper->ring);
		frames_flush();
	}
}

/* Five descriptors for each network namespace, and what BPF needs, may be more than a shell allows. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Takes over what an earlier helper left pinned. */
static void adopt(struct helper *helper, const struct options *options, char *why_not)
{
	char text[TT_TEXT_SIZE] = "";

	if (!options->pin_dir) {
		snprintf(why_not, TT_TEXT_SIZE, "not asked for");
		return;
	}
	if (!pins_open(&helper->pins, options->pin_dir, why_not))
		return;
	helper->pinned = true;
	helper->stream = pins_adopt(&helper->pins, options, text);
	if (*text)
		warn("%s", text);
	if (!helper->stream)
		return;
	helper->rung = (int)helper->pins.set.rung;
	memcpy(helper->tried, helper->pins.set.tried, sizeof(helper->tried));
}

static bool start_stream(struct helper *helper, const struct options *options)
{
	char why_not[TT_TEXT_SIZE] = "";

	if (options->mode == MODE_POLL)
		return false;
	adopt(helper, options, why_not);
	if (!helper->stream) {
		helper->stream = ladder_climb(options, &helper->rung, note_rung, helper);
		if (helper->stream && helper->pinned)
			helper->pinned = pins_keep(&helper->pins, helper->stream, options,
						   helper->rung, helper->tried, why_not);
	}
	if (!helper->stream) {
		if (helper->pinned)
			pins_clear(&helper->pins);
		helper->pinned = false;
		return false;
	}
	if (!helper->pinned)
		snprintf(helper->tried[helper->rung].text, TT_TEXT_SIZE, "not pinned: %.200s",
			 why_not);
	ring_watch_begin(&helper->ring, epoll_fd, helper->stream);
	return true;
}

static bool start_poll(struct helper *helper, const struct options *options)
{
	char text[TT_TEXT_SIZE] = "";

	/* A rung that was asked for by name is not silently replaced. */
	if (options->mode == MODE_STREAM || options->attach >= 0)
		return false;
	helper->rung = TT_RUNG_POLL;
	helper->poll = poll_open(options, watch, text);
	note_rung(TT_RUNG_POLL, helper->poll ? 0 : ENOTSUP, text, helper);
	return helper->poll;
}

int main(int argc, char **argv)
{
	struct helper helper = {};
	struct options options;

	if (!options_parse(argc, argv, &options))
		return EXIT_USAGE;
	/* Large tables are given back when they are replaced, whatever was freed before. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	libbpf_log_install(options.verbose);
	if (options.probe)
		return probe(&options);
	/* The end of stdin tells too, but not while a write to stdout blocks. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	allow_descriptors();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	helper.signal_fd = open_signals();
	if (epoll_fd < 0 || helper.signal_fd < 0)
		die("cannot start: %s", strerror(errno));
	if (!start_stream(&helper, &options) && !start_poll(&helper, &options)) {
		write_rungs(&helper);
		frames_flush();
		return EXIT_UNSUPPORTED;
	}
	malloc_trim(0); /* the kernel's types, read to load the programs, took megabytes */
	write_rungs(&helper);
	write_hello(&helper, &options);
	frames_flush();
	watch(helper.signal_fd, true);
	watch(STDIN_FILENO, true);
	serve(&helper);
	stream_close(helper.stream);
	return EXIT_OK;
}
