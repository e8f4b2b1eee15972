// SPDX-License-Identifier: MIT
/*
 * Writes frames as the helper does, by its own writer, from assignments on stdin, one a line:
 *   KIND FLAGS           begins a frame: "flow 1"
 *   FIELD NUMBER         of its struct, by the header's names: "key.tgid 4656"
 *   FIELD =HEX           bytes, for addresses and texts
 *   .                    writes the frame
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/helper/frames.h"

union any_frame {
	struct tt_frame header;
	struct tt_hello hello;
	struct tt_rung_frame rung;
	struct tt_first_frame first;
	struct tt_flow_frame flow;
	struct tt_listen_frame listen;
	struct tt_listener_frame listener;
	struct tt_stats_frame stats;
	struct tt_done_frame done;
};

struct kind {
	const char *name;
	uint16_t type;
	size_t size;
};

static const struct kind kinds[] = {
	{ "hello", TT_FRAME_HELLO, sizeof(struct tt_hello) },
	{ "rung", TT_FRAME_RUNG, sizeof(struct tt_rung_frame) },
	{ "first", TT_FRAME_FIRST, sizeof(struct tt_first_frame) },
	{ "flow", TT_FRAME_FLOW, sizeof(struct tt_flow_frame) },
	{ "listen", TT_FRAME_LISTEN, sizeof(struct tt_listen_frame) },
	{ "listener", TT_FRAME_LISTENER, sizeof(struct tt_listener_frame) },
	{ "stats", TT_FRAME_STATS, sizeof(struct tt_stats_frame) },
	{ "done", TT_FRAME_DONE, sizeof(struct tt_done_frame) },
	{ "generation", TT_FRAME_GENERATION, sizeof(struct tt_generation_frame) },
};

struct field {
	const char *kind, *name;
	size_t offset, size;
};

#define F(kind, type, field)                                                                   \
	{                                                                                      \
#kind, #field, offsetof(struct type, field), sizeof(((struct type *)0)->field) \
	}
#define KEY(kind, type)                                                                 \
	F(kind, type, key.start_ns), F(kind, type, key.tgid), F(kind, type, key.netns), \
		F(kind, type, key.local), F(kind, type, key.peer),                      \
		F(kind, type, key.service_port), F(kind, type, key.direction)
#define IDENTITY(kind, type)                                                 \
	F(kind, type, identity.start_ns), F(kind, type, identity.cgroup_id), \
		F(kind, type, identity.tgid), F(kind, type, identity.ppid),  \
		F(kind, type, identity.pgid), F(kind, type, identity.uid),   \
		F(kind, type, identity.comm), F(kind, type, identity.exe)
#define HELLO(field)	F(hello, tt_hello, field)
#define RUNG(field)	F(rung, tt_rung_frame, field)
#define COUNTS(field)	F(flow, tt_flow_frame, counts.field)
#define LISTEN(field)	F(listen, tt_listen_frame, field)
#define LISTENER(field) F(listener, tt_listener_frame, field)
#define STATS(field)	F(stats, tt_stats_frame, field)
#define DONE(field)	F(done, tt_done_frame, field)

static const struct field fields[] = {
	HELLO(abi_version),
	HELLO(rung),
	HELLO(boot_ns),
	HELLO(wall_ns),
	HELLO(pid),
	HELLO(netns),
	HELLO(features),
	HELLO(flow_frame_size),
	HELLO(first_frame_size),
	HELLO(listen_frame_size),
	HELLO(stats_frame_size),
	HELLO(done_frame_size),
	HELLO(release),
	HELLO(set_id),
	HELLO(dropped_generation),
	RUNG(rung),
	RUNG(error),
	RUNG(text),
	F(first, tt_first_frame, boot_ns),
	KEY(first, tt_first_frame),
	IDENTITY(first, tt_first_frame),
	F(first, tt_first_frame, local_port),
	F(first, tt_first_frame, peer_port),
	KEY(flow, tt_flow_frame),
	COUNTS(first_ns),
	COUNTS(last_ns),
	COUNTS(bytes_sent),
	COUNTS(bytes_received),
	COUNTS(opened),
	COUNTS(found),
	COUNTS(closed),
	COUNTS(refused),
	COUNTS(timed_out),
	COUNTS(unreachable),
	COUNTS(failed_other),
	COUNTS(retransmits),
	LISTEN(boot_ns),
	LISTEN(local),
	LISTEN(netns),
	LISTEN(port),
	IDENTITY(listen, tt_listen_frame),
	LISTENER(start_ns),
	LISTENER(tgid),
	LISTENER(netns),
	LISTENER(local),
	LISTENER(port),
	STATS(ring_lost),
	STATS(flows_full),
	STATS(sockets_full),
	STATS(missed_probes),
	STATS(notices_lost),
	STATS(vanished),
	STATS(namespaces_failed),
	DONE(request_id),
	DONE(boot_ns),
	DONE(wall_ns),
	DONE(sockets),
	DONE(namespaces),
	DONE(generation),
	F(generation, tt_generation_frame, generation),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static const struct field *find_field(const struct kind *kind, const char *name)
{
	for (size_t i = 0; i < COUNT(fields); i++)
		if (!strcmp(fields[i].kind, kind->name) && !strcmp(fields[i].name, name))
			return &fields[i];
	die("%s has no field '%s'", kind->name, name);
}

static void assign_bytes(unsigned char *to, size_t size, const char *hex)
{
	unsigned int byte;

	for (size_t i = 0; sscanf(hex + 2 * i, "%2x", &byte) == 1; i++) {
		if (i == size)
			die("too many bytes");
		to[i] = (unsigned char)byte;
	}
}

static void assign(void *to, size_t size, const char *value)
{
	uint64_t number =
		value[0] == '-' ? (uint64_t)strtoll(value, NULL, 10) : strtoull(value, NULL, 10);
	uint32_t u32 = (uint32_t)number;
	uint16_t u16 = (uint16_t)number;
	uint8_t u8 = (uint8_t)number;
	const void *from = size == 8 ? (const void *)&number :
			   size == 4 ? (const void *)&u32 :
			   size == 2 ? (const void *)&u16 :
				       &u8;

	if (value[0] == '=')
		assign_bytes(to, size, value + 1);
	else if (size <= 8)
		memcpy(to, from, size);
	else
		die("a number for %zu bytes", size);
}

int main(void)
{
	static union any_frame frame;
	const struct kind *kind = NULL;
	char name[64], value[1024];

	while (scanf("%63s", name) == 1) {
		if (!strcmp(name, ".")) {
			frames_write(&frame);
			kind = NULL;
		} else if (scanf("%1023s", value) != 1) {
			die("no value for '%s'", name);
		} else if (kind) {
			const struct field *field = find_field(kind, name);

			assign((char *)&frame + field->offset, field->size, value);
		} else {
			kind = find_kind(name);
			if (!kind)
				die("no frame is called '%s'", name);
			memset(&frame, 0, sizeof(frame));
			frame.header = (struct tt_frame){ .length = (uint32_t)kind->size,
							  .type = kind->type,
							  .flags = (uint16_t)atoi(value) };
		}
	}
	frames_flush();
	return 0;
}
