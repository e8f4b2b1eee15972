// SPDX-License-Identifier: MIT
#include "owners.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc_text.h"

struct wanted {
	uint32_t inode; /* key */
	struct owner owner; /* tgid 0: not found yet */
};

struct busy {
	uint32_t tgid; /* key */
};

typedef bool visit_socket(uint32_t inode, const char *fd, void *arg);

void owners_init(struct owners *owners)
{
	*owners = (struct owners){};
	table_init(&owners->wanted, sizeof(struct wanted), sizeof(uint32_t));
	table_init(&owners->busy, sizeof(struct busy), sizeof(uint32_t));
}

/* What fits of a file of a process; 0 where there is nothing, or the process is gone. */
static size_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, size);
	close(fd);
	return n < 0 ? 0 : (size_t)n;
}

/* 0 if the process is gone. */
static uint64_t stat_number(uint32_t tgid, enum proc_stat_field field)
{
	char path[64], text[1024];
	uint64_t number;

	snprintf(path, sizeof(path), "/proc/%u/stat", tgid);
	if (!proc_stat_number(text, read_file(path, text, sizeof(text)), field, &number))
		return 0;
	return number;
}

/* In ns; 0 if the process is gone. */
static uint64_t start_of(uint32_t tgid)
{
	return stat_number(tgid, STAT_START_TICKS) *
	       (1000000000ull / (unsigned long long)sysconf(_SC_CLK_TCK));
}

/* Calls visit for each socket the process holds, until it returns false. False: process is gone. */
static bool visit_sockets(uint32_t tgid, visit_socket *visit, void *arg)
{
	char path[64], target[64];
	struct dirent *entry;
	DIR *descriptors;

	snprintf(path, sizeof(path), "/proc/%u/fd", tgid);
	descriptors = opendir(path);
	if (!descriptors)
		return false;
	while ((entry = readdir(descriptors))) {
		ssize_t n = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target));
		uint32_t inode;

		/* Not there if it was closed meanwhile. */
		if (n > 0 && proc_socket_inode(target, (size_t)n, &inode) &&
		    !visit(inode, entry->d_name, arg))
			break;
	}
	closedir(descriptors);
	return true;
}

static void visit_processes(void (*visit)(uint32_t tgid, void *arg), void *arg)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	if (!processes)
		return;
	while ((entry = readdir(processes)))
		if (isdigit(entry->d_name[0]))
			visit((uint32_t)strtoul(entry->d_name, NULL, 10), arg);
	closedir(processes);
}

/* ---- first owners ---- */

struct search {
	struct owners *owners;
	size_t missing;
	uint32_t tgid;
	uint64_t start_ns;
	bool hit;
};

void owners_want(struct owners *owners, uint32_t inode)
{
	if (inode)
		table_insert(&owners->wanted, &inode, NULL);
}

static bool match_wanted(uint32_t inode, const char *fd, void *arg)
{
	(void)fd;
	struct search *search = arg;
	struct wanted *wanted = table_find(&search->owners->wanted, &inode);

	if (wanted && !wanted->owner.tgid) {
		if (!search->start_ns)
			search->start_ns = start_of(search->tgid);
		wanted->owner = (struct owner){ search->tgid, search->start_ns };
		search->hit = true;
		search->missing--;
	}
	return search->missing > 0;
}

static void search_process(uint32_t tgid, void *arg)
{
	struct search *search = arg;

	if (!search->missing)
		return;
	search->tgid = tgid;
	search->start_ns = 0;
	search->hit = false;
	if (!visit_sockets(tgid, match_wanted, search))
		search->owners->vanished++;
	if (search->hit)
		table_insert(&search->owners->busy, &tgid, NULL);
}

static bool is_idle(void *entry, void *arg)
{
	struct search *search = arg;

	search_process(((struct busy *)entry)->tgid, search);
	return !search->hit && search->missing;
}

void owners_resolve(struct owners *owners)
{
	struct search search = { .owners = owners };
	struct wanted *wanted;
	size_t i = 0;

	while ((wanted = table_next(&owners->wanted, &i)))
		search.missing += !wanted->owner.tgid;
	if (!search.missing)
		return;
	/* search_process adds to the table that is swept: a moved one would be lost to it. */
	struct table busy = owners->busy;

	table_init(&owners->busy, sizeof(struct busy), sizeof(uint32_t));
	table_sweep(&busy, is_idle, &search);
	i = 0;
	for (struct busy *kept; (kept = table_next(&busy, &i));)
		table_insert(&owners->busy, kept, NULL);
	table_free(&busy);
	if (search.missing)
		visit_processes(search_process, &search);
}

const struct owner *owners_of(const struct owners *owners, uint32_t inode)
{
	const struct wanted *wanted = table_find(&owners->wanted, &inode);

	return wanted && wanted->owner.tgid ? &wanted->owner : NULL;
}

void owners_forget(struct owners *owners)
{
	table_clear(&owners->wanted);
}

/* ---- all owners ---- */

struct listing {
	struct owners *owners;
	uint32_t tgid;
	uint64_t start_ns;
	bool (*wanted)(uint32_t inode, void *arg);
	owners_visit *visit;
	void *arg;
};

static bool list_socket(uint32_t inode, const char *fd, void *arg)
{
	struct listing *listing = arg;

	if (listing->wanted(inode, listing->arg)) {
		struct owner owner = { .tgid = listing->tgid };

		if (!listing->start_ns)
			listing->start_ns = start_of(listing->tgid);
		owner.start_ns = listing->start_ns;
		listing->visit(inode, &owner, fd, listing->arg);
	}
	return true;
}

static void list_process(uint32_t tgid, void *arg)
{
	struct listing *listing = arg;

	listing->tgid = tgid;
	listing->start_ns = 0;
	if (!visit_sockets(tgid, list_socket, listing))
		listing->owners->vanished++;
}

void owners_visit_all(struct owners *owners, bool (*wanted)(uint32_t inode, void *arg),
		      owners_visit *visit, void *arg)
{
	struct listing listing = { .owners = owners, .wanted = wanted, .visit = visit, .arg = arg };

	visit_processes(list_process, &listing);
}

/* ---- children ---- */

bool owners_is_inheritable(uint32_t tgid, const char *fd)
{
	char path[128], text[512], *flags;
	unsigned int value;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%s", tgid, fd);
	n = read_file(path, text, sizeof(text) - 1);
	text[n] = '\0';
	flags = strstr(text, "flags:");
	return flags && sscanf(flags, "flags: %o", &value) == 1 && !(value & O_CLOEXEC);
}

bool owners_had_children(uint32_t tgid)
{
	char path[64], text[1];

	if (stat_number(tgid, STAT_CHILDRENS_FAULTS))
		return true;
	snprintf(path, sizeof(path), "/proc/%u/task/%u/children", tgid, tgid);
	return read_file(path, text, sizeof(text)) > 0;
}
