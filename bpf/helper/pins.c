// SPDX-License-Identifier: MIT
#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bpffs.h"
#include "pin_names.h"
#include "stream_private.h"

static void path_of(const struct pins *pins, const char *kind, const char *name, char *path)
{
	snprintf(path, PIN_PATH_SIZE, "%s/%s%s", pins->dir, kind, name);
}

bool pins_open(struct pins *pins, const char *dir, char *text)
{
	*pins = (struct pins){ .lock_fd = -1, .set_fd = -1, .carried_announced = -1 };
	if ((size_t)snprintf(pins->dir, sizeof(pins->dir), "%s", dir) >= sizeof(pins->dir)) {
		snprintf(text, TT_TEXT_SIZE, "the name of the directory is too long");
		return false;
	}
	pins->lock_fd = bpffs_take(pins->dir, text);
	return pins->lock_fd >= 0;
}

/* FNV-1a, 64 bits: tells builds apart, no more. */
static uint64_t hash_of_object(void)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t size;
	const unsigned char *bytes = transtracer__elf_bytes(&size);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

static struct pin_set wanted(const struct options *options)
{
	return (struct pin_set){
		.abi_version = TT_ABI_VERSION,
		.object = hash_of_object(),
		.only_netns = options->own_netns ? own_netns() : 0,
		.max_flows = options->max_flows,
		.max_sockets = options->max_sockets,
	};
}

/* ---- taking down ---- */

static void remove_pins(const struct pins *pins, bool (*goes)(const char *name))
{
	DIR *entries = opendir(pins->dir);
	struct dirent *entry;
	char path[PIN_PATH_SIZE];

	while (entries && (entry = readdir(entries))) {
		if (entry->d_name[0] == '.' || !goes(entry->d_name))
			continue;
		path_of(pins, "", entry->d_name, path);
		if (unlink(path))
			warn("cannot remove %s: %s", path, strerror(errno));
	}
	if (entries)
		closedir(entries);
}

static bool is_anything(const char *name)
{
	(void)name;
	return true;
}

static bool is_no_generation(const char *name)
{
	return strncmp(name, PIN_GENERATION, strlen(PIN_GENERATION)) != 0;
}

void pins_clear(struct pins *pins)
{
	remove_pins(pins, is_anything);
	close(pins->set_fd);
	pins->set_fd = -1;
}

/* The kernel detaches a program some time after its link's last name is gone. */
static void await_end(const uint32_t *programs, size_t count)
{
	struct timespec pause = { .tv_nsec = 10000000 };

	for (size_t i = 0, tries = 0; i < count && tries < 100;) {
		int fd = bpf_prog_get_fd_by_id(programs[i]);

		if (fd < 0) {
			i++;
			continue;
		}
		close(fd);
		tries++;
		nanosleep(&pause, NULL);
	}
}

static uint32_t program_of(const char *path)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);
	bool known = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size);

	close(fd);
	return known ? info.prog_id : 0;
}

static size_t list_programs(const struct pins *pins, uint32_t *programs, size_t max)
{
	DIR *entries = opendir(pins->dir);
	struct dirent *entry;
	char path[PIN_PATH_SIZE];
	size_t count = 0;

	while (entries && count < max && (entry = readdir(entries))) {
		if (strncmp(entry->d_name, PIN_LINK, strlen(PIN_LINK)))
			continue;
		path_of(pins, "", entry->d_name, path);
		programs[count] = program_of(path);
		count += programs[count] != 0;
	}
	if (entries)
		closedir(entries);
	return count;
}

/* Ends programs that are not ours, and keeps what they have counted if it can be understood. */
static void take_down(struct pins *pins)
{
	uint32_t programs[MAX_LINKS];
	size_t count = list_programs(pins, programs, MAX_LINKS);
	char path[PIN_PATH_SIZE];

	if (pins->set.abi_version == TT_ABI_VERSION) {
		path_of(pins, PIN_MAP, "announced", path);
		pins->carried_announced = bpf_obj_get(path);
		if (generations_adopt(&pins->carried, -1, pins->dir))
			generations_close(&pins->carried);
	}
	remove_pins(pins, pins->carried.count ? is_no_generation : is_anything);
	close(pins->set_fd);
	pins->set_fd = -1;
	await_end(programs, count);
}

/* ---- taking over ---- */

/* Reads what is pinned; false when nothing is, or another version's. */
static bool read_set(struct pins *pins)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info), zero = 0;
	char path[PIN_PATH_SIZE];

	path_of(pins, PIN_SET, "", path);
	pins->set_fd = bpf_obj_get(path);
	if (pins->set_fd < 0 || bpf_obj_get_info_by_fd(pins->set_fd, &info, &size) ||
	    info.value_size != sizeof(pins->set))
		return false;
	return !bpf_map_lookup_elem(pins->set_fd, &zero, &pins->set);
}

static const char *difference(const struct pin_set *there, const struct options *options)
{
	struct pin_set want = wanted(options);

	if (there->abi_version != want.abi_version || there->object != want.object)
		return "it is of another build";
	if (there->only_netns != want.only_netns)
		return "it watches other network namespaces";
	if (there->max_flows != want.max_flows || there->max_sockets != want.max_sockets)
		return "its maps are of another size";
	if (options->attach >= 0 && (uint32_t)options->attach != there->rung)
		return "it is attached in another way";
	return NULL;
}

static int open_pinned(const struct pins *pins, const char *kind, const char *name)
{
	char path[PIN_PATH_SIZE];

	path_of(pins, kind, name, path);
	return bpf_obj_get(path);
}

static int open_maps(const struct pins *pins, struct stream *stream)
{
	for (int i = 0; i < STREAM_MAPS; i++) {
		stream->maps[i] = open_pinned(pins, PIN_MAP, stream_map_names[i]);
		if (stream->maps[i] < 0)
			return -stream->maps[i];
	}
	return 0;
}

static int open_link(const struct pins *pins, struct stream *stream, const char *name)
{
	struct stream_link *link = &stream->links[stream->link_count];
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	if (stream->link_count == MAX_LINKS)
		return E2BIG;
	link->fd = open_pinned(pins, PIN_LINK, name);
	if (link->fd < 0)
		return -link->fd;
	if (bpf_obj_get_info_by_fd(link->fd, &info, &size))
		return errno;
	link->program_fd = bpf_prog_get_fd_by_id(info.prog_id);
	if (link->program_fd < 0)
		return -link->program_fd;
	snprintf(link->name, sizeof(link->name), "%s", name);
	stream->link_count++;
	return 0;
}

static int open_links(const struct pins *pins, struct stream *stream)
{
	DIR *entries = opendir(pins->dir);
	struct dirent *entry;
	int error = entries ? 0 : errno;

	while (!error && entries && (entry = readdir(entries)))
		if (!strncmp(entry->d_name, PIN_LINK, strlen(PIN_LINK)))
			error = open_link(pins, stream, entry->d_name + strlen(PIN_LINK));
	if (entries)
		closedir(entries);
	return error;
}

static struct stream *take_over(struct pins *pins, const struct options *options, char *text)
{
	struct stream *stream = stream_new(options);
	int error = open_maps(pins, stream);

	error = error ?: open_links(pins, stream);
	error = error ?: stream_begin(stream);
	error = error ?:
			generations_adopt(&stream->generations, stream->maps[MAP_FLOWS], pins->dir);
	stream->generations.dropped = pins->set.dropped;
	stream->adopted = true;
	if (!error)
		return stream;
	snprintf(text, TT_TEXT_SIZE, "cannot take over what is pinned: %s", strerror(error));
	stream_close(stream);
	return NULL;
}

struct stream *pins_adopt(struct pins *pins, const struct options *options, char *text)
{
	struct stream *stream = NULL;
	const char *why;

	if (!read_set(pins)) {
		take_down(pins); /* also what is left of one that was killed while it pinned */
		return NULL;
	}
	why = difference(&pins->set, options);
	if (why)
		snprintf(text, TT_TEXT_SIZE, "what was pinned is replaced: %s", why);
	else
		stream = take_over(pins, options, text);
	if (!stream)
		take_down(pins);
	return stream;
}

/* ---- leaving ---- */

static int pin_all(struct pins *pins, struct stream *stream)
{
	char path[PIN_PATH_SIZE];
	int error = generations_pin(&stream->generations, pins->dir);

	for (int i = 0; i < STREAM_MAPS && !error; i++) {
		path_of(pins, PIN_MAP, stream_map_names[i], path);
		error = -bpf_obj_pin(stream->maps[i], path);
	}
	for (size_t i = 0; i < stream->link_count && !error; i++) {
		path_of(pins, PIN_LINK, stream->links[i].name, path);
		error = -bpf_obj_pin(stream->links[i].fd, path);
	}
	return error;
}

/* Last of all: without it the rest is taken for what a killed helper left. */
static int pin_set(struct pins *pins)
{
	char path[PIN_PATH_SIZE];
	uint32_t zero = 0;
	int error;

	pins->set_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "tt_set", sizeof(zero), sizeof(pins->set),
				      1, NULL);
	if (pins->set_fd < 0)
		return -pins->set_fd;
	path_of(pins, PIN_SET, "", path);
	error = bpf_map_update_elem(pins->set_fd, &zero, &pins->set, BPF_ANY);
	return -(error ?: bpf_obj_pin(pins->set_fd, path));
}

bool pins_keep(struct pins *pins, struct stream *stream, const struct options *options, int rung,
	       const struct tried *tried, char *text)
{
	struct pin_set set = wanted(options);
	int error;

	set.rung = (uint32_t)rung;
	memcpy(set.tried, tried, sizeof(set.tried));
	set.set_id = pins->carried.count ? pins->set.set_id : 0;
	set.dropped = pins->carried.count ? pins->set.dropped : 0;
	while (!set.set_id)
		if (getrandom(&set.set_id, sizeof(set.set_id), 0) < 0)
			die("no random number: %s", strerror(errno));
	pins->set = set;
	generations_prepend(&stream->generations, &pins->carried);
	stream->generations.dropped = set.dropped;
	stream->carried_announced = pins->carried_announced;
	error = pin_all(pins, stream);
	error = error ?: pin_set(pins);
	if (!error)
		return true;
	stream->generations.dir = NULL;
	pins_clear(pins);
	snprintf(text, TT_TEXT_SIZE, "cannot pin: %s%s", strerror(error),
		 rung == TT_RUNG_KPROBE ? " (kprobes can be pinned from Linux 5.15 on)" : "");
	return false;
}

void pins_note_dropped(struct pins *pins, uint64_t dropped)
{
	uint32_t zero = 0;

	if (pins->set_fd < 0 || pins->set.dropped == dropped)
		return;
	pins->set.dropped = dropped;
	bpf_map_update_elem(pins->set_fd, &zero, &pins->set, BPF_ANY);
}
