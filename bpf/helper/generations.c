// SPDX-License-Identifier: MIT
#include "generations.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pin_names.h"

/* Entries that one call of the kernel hands over; no bucket of a hash map has as many. */
#define BATCH 1024
/* What is kept for an agent that can't get rid of it, such as while its database is away. */
#define MAX_KEPT	 256
#define MAX_KEPT_ENTRIES (1 << 17)

static struct tt_flow_key keys[BATCH];
static struct tt_flow_counts counts[BATCH];

static struct generation *add(struct generations *generations, int fd, uint64_t number)
{
	size_t size = (generations->count + 1) * sizeof(struct generation);
	struct generation *list = realloc(generations->list, size);

	if (!list)
		die("out of memory");
	generations->list = list;
	list[generations->count] = (struct generation){ .number = number, .fd = fd };
	return &list[generations->count++];
}

static struct generation *newest(const struct generations *generations)
{
	return &generations->list[generations->count - 1];
}

static void path_of(const struct generations *generations, uint64_t number, char *path)
{
	snprintf(path, PIN_PATH_SIZE, "%s/" PIN_GENERATION "%llu", generations->dir,
		 (unsigned long long)number);
}

static int pin(const struct generations *generations, const struct generation *generation)
{
	char path[PIN_PATH_SIZE];

	path_of(generations, generation->number, path);
	return -bpf_obj_pin(generation->fd, path);
}

static int make_map(uint32_t entries)
{
	return bpf_map_create(BPF_MAP_TYPE_HASH, "tt_flows", sizeof(struct tt_flow_key),
			      sizeof(struct tt_flow_counts), entries, NULL);
}

/*
 * An empty map in all as another one, its types included: Linux 6.1 takes a map without BTF for
 * another kind of inner map than one with it (timer_off in bpf_map_meta_equal).
 */
static int make_map_like(int fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	int btf = -1, map;

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.btf_id)
		btf = bpf_btf_get_fd_by_id(info.btf_id);
	if (btf >= 0) {
		options.btf_fd = (uint32_t)btf;
		options.btf_key_type_id = info.btf_key_type_id;
		options.btf_value_type_id = info.btf_value_type_id;
	}
	map = bpf_map_create(BPF_MAP_TYPE_HASH, "tt_flows", info.key_size, info.value_size,
			     info.max_entries, &options);
	if (btf >= 0)
		close(btf);
	return map;
}

void generations_begin(struct generations *generations, int outer, int fd, uint64_t number)
{
	generations->outer = outer;
	add(generations, fd, number)->fresh = true;
}

static int by_number(const void *a, const void *b)
{
	uint64_t left = ((const struct generation *)a)->number;
	uint64_t right = ((const struct generation *)b)->number;

	return left < right ? -1 : left > right;
}

/* The kernel names the inner map of an outer one by its id. */
static bool is_counted_in(int outer, int fd)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info), zero = 0, id = 0;

	return !bpf_map_lookup_elem(outer, &zero, &id) &&
	       !bpf_obj_get_info_by_fd(fd, &info, &size) && info.id == id;
}

static int take_pinned(struct generations *generations, const char *dir, const char *name)
{
	char path[PIN_PATH_SIZE];
	unsigned long long number;
	int fd;

	if (sscanf(name, PIN_GENERATION "%llu", &number) != 1)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -fd;
	add(generations, fd, number);
	return 0;
}

/*
 * An earlier helper that was killed between pinning an empty generation and having the programs count
 * in it leaves one behind that is newer than the one they count in.
 */
static void drop_unused(struct generations *generations)
{
	while (generations->count && !is_counted_in(generations->outer, newest(generations)->fd)) {
		char path[PIN_PATH_SIZE];

		path_of(generations, newest(generations)->number, path);
		unlink(path);
		close(newest(generations)->fd);
		generations->count--;
	}
}

int generations_adopt(struct generations *generations, int outer, const char *dir)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	int error = 0;

	if (!entries)
		return errno;
	generations->outer = outer;
	generations->dir = dir;
	while (!error && (entry = readdir(entries)))
		error = take_pinned(generations, dir, entry->d_name);
	closedir(entries);
	qsort(generations->list, generations->count, sizeof(struct generation), by_number);
	if (!error && outer >= 0)
		drop_unused(generations);
	return error ?: generations->count ? 0 : ENOENT;
}

int generations_pin(struct generations *generations, const char *dir)
{
	int error = 0;

	generations->dir = dir;
	for (size_t i = 0; i < generations->count && !error; i++) {
		error = pin(generations, &generations->list[i]);
		if (error == EEXIST) /* taken over from an earlier set */
			error = 0;
	}
	if (error)
		generations->dir = NULL;
	return error;
}

void generations_prepend(struct generations *generations, struct generations *earlier)
{
	uint64_t last = earlier->count ? newest(earlier)->number : 0;

	for (size_t i = 0; i < generations->count; i++) {
		struct generation *own = &generations->list[i];
		struct generation *added = add(earlier, own->fd, ++last);

		added->fresh = own->fresh;
	}
	free(generations->list);
	generations->list = earlier->list;
	generations->count = earlier->count;
	earlier->list = NULL;
	earlier->count = 0;
}

void generations_close(struct generations *generations)
{
	for (size_t i = 0; i < generations->count; i++)
		close(generations->list[i].fd);
	free(generations->list);
	*generations = (struct generations){};
}

bool generations_has_news(const struct generations *generations)
{
	const struct generation *generation = newest(generations);
	struct tt_flow_key key;

	return generation->fresh || !bpf_map_get_next_key(generation->fd, NULL, &key);
}

bool generations_swap(struct generations *generations)
{
	const struct generation *old = newest(generations);
	struct generation *fresh;
	uint32_t zero = 0;
	int error, fd;

	fd = make_map_like(old->fd);
	if (fd < 0) {
		warn("no room to drain the flow map: %s", strerror(-fd));
		return false;
	}
	fresh = add(generations, fd, old->number + 1);
	/* Pinned before it is used, so that a successor finds what was counted in it. */
	error = generations->dir ? pin(generations, fresh) : 0;
	/* Returns when no program uses the old map any more (maybe_wait_bpf_programs). */
	error = error ?: -bpf_map_update_elem(generations->outer, &zero, &fd, BPF_ANY);
	if (error)
		die("cannot swap the flow maps: %s", strerror(error));
	return true;
}

void generations_read(struct generation *generation, visit_counts *visit, void *arg)
{
	uint32_t position = 0, count;
	bool first = true;
	int error;

	generation->entries = 0;
	do {
		count = BATCH;
		error = bpf_map_lookup_batch(generation->fd, first ? NULL : &position, &position,
					     keys, counts, &count, NULL);
		if (error && error != -ENOENT)
			die("cannot read the flow map: %s", strerror(-error));
		first = false;
		generation->entries += count;
		for (uint32_t i = 0; i < count && visit; i++)
			visit(&keys[i], &counts[i], arg);
	} while (!error); /* ENOENT: that was the last batch, and its count is valid */
}

uint64_t generations_told(const struct generations *generations)
{
	return newest(generations)->number - 1;
}

static void drop_oldest(struct generations *generations, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[PIN_PATH_SIZE];

		if (generations->dir) {
			path_of(generations, generations->list[i].number, path);
			unlink(path);
		}
		close(generations->list[i].fd);
	}
	generations->count -= n;
	memmove(generations->list, generations->list + n,
		generations->count * sizeof(struct generation));
}

void generations_acknowledge(struct generations *generations, uint64_t number)
{
	size_t n = 0;

	while (n + 1 < generations->count && generations->list[n].number <= number)
		n++;
	drop_oldest(generations, n);
}

struct copy {
	int fd;
	int error;
};

static void copy_entry(const struct tt_flow_key *key, const struct tt_flow_counts *value, void *arg)
{
	struct copy *copy = arg;

	if (!copy->error)
		copy->error = bpf_map_update_elem(copy->fd, key, value, BPF_ANY);
}

/* Pinned under another name first: renaming it replaces the larger one at a stroke. */
static int replace_pin(const struct generations *generations, uint64_t number, int fd)
{
	char path[PIN_PATH_SIZE], copy[PIN_PATH_SIZE];
	int error;

	path_of(generations, number, path);
	snprintf(copy, sizeof(copy), "%s/" PIN_COPY, generations->dir);
	unlink(copy);
	error = bpf_obj_pin(fd, copy);
	return error ?: rename(copy, path) ? -errno : 0;
}

/* Where that fails the larger map stays: it serves as well. */
static void make_compact(const struct generations *generations, struct generation *generation)
{
	struct copy copy = { .fd = make_map(generation->entries ?: 1) };

	generation->compact = true;
	if (copy.fd < 0)
		return;
	generations_read(generation, copy_entry, &copy);
	if (copy.error || replace_pin(generations, generation->number, copy.fd)) {
		close(copy.fd);
		return;
	}
	close(generation->fd);
	generation->fd = copy.fd;
}

void generations_retain(struct generations *generations)
{
	uint64_t entries = 0;
	size_t keep = 0;

	if (!generations->dir) {
		drop_oldest(generations, generations->count - 1);
		return;
	}
	/* One that was just told may be acknowledged in a moment. */
	for (size_t i = 0; i + 2 < generations->count; i++)
		if (!generations->list[i].compact)
			make_compact(generations, &generations->list[i]);
	for (keep = 0; keep < generations->count && keep <= MAX_KEPT; keep++) {
		entries += generations->list[generations->count - 1 - keep].entries;
		if (entries > MAX_KEPT_ENTRIES && keep > 1)
			break;
	}
	if (keep < generations->count) {
		size_t n = generations->count - keep;

		generations->dropped = generations->list[n - 1].number;
		drop_oldest(generations, n);
	}
}
