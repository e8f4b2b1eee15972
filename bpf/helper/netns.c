// SPDX-License-Identifier: MIT
#include "netns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inet_diag.h"

#define MOUNTED_NAMESPACES "/run/netns"

struct opening {
	struct namespaces *namespaces;
	struct netns *netns;
};

void namespaces_init(struct namespaces *namespaces, bool own_only)
{
	*namespaces = (struct namespaces){ .own_only = own_only };
	table_init(&namespaces->table, sizeof(struct netns), sizeof(uint32_t));
}

static void open_sockets(void *arg)
{
	struct opening *opening = arg;
	struct namespaces *namespaces = opening->namespaces;
	struct netns *netns = opening->netns;

	netns_usage_open(&netns->usage);
	netns->diag_fd = diag_open();
	netns->notice_fd = diag_open_notices(namespaces->notice_bytes);
	if (netns->diag_fd < 0)
		warn("no inet_diag in network namespace %u: %s", netns->inum, strerror(errno));
	if (netns->notice_fd >= 0 && namespaces->on_notice_fd)
		namespaces->on_notice_fd(netns, true, namespaces->arg);
}

/* Calls visit inside the namespace that path names. The helper has one thread. */
static bool visit_inside(const char *path, void (*visit)(void *arg), void *arg)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(path, O_RDONLY | O_CLOEXEC);
	bool entered = home >= 0 && there >= 0 && !setns(there, CLONE_NEWNET);

	if (entered) {
		visit(arg);
		if (setns(home, CLONE_NEWNET))
			die("cannot return to the own network namespace: %s", strerror(errno));
	}
	if (home >= 0)
		close(home);
	if (there >= 0)
		close(there);
	return entered;
}

static void note(struct namespaces *namespaces, uint32_t inum, const char *path)
{
	struct opening opening = { .namespaces = namespaces };
	struct netns *netns;
	bool is_new;

	netns = table_insert(&namespaces->table, &inum, &is_new);
	if (netns->scan != namespaces->scan)
		snprintf(netns->path, sizeof(netns->path), "%s", path);
	netns->scan = namespaces->scan;
	if (!is_new)
		return;
	netns->diag_fd = netns->notice_fd = -1;
	netns_usage_init(&netns->usage);
	opening.netns = netns;
	if (namespaces->without_sockets)
		return;
	if (inum == own_netns()) {
		open_sockets(&opening);
	} else if (!visit_inside(path, open_sockets, &opening)) {
		namespaces->failed++;
		warn("cannot enter network namespace %u (%s): %s", inum, path, strerror(errno));
	}
}

/* False if the directory cannot be listed. */
static bool scan_directory(struct namespaces *namespaces, const char *directory, bool processes)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;
	struct stat own, st;
	char path[300];

	if (!entries)
		return false;
	if (stat("/proc/thread-self/ns/net", &own))
		memset(&own, 0, sizeof(own));
	while ((entry = readdir(entries))) {
		if (processes ? !isdigit(entry->d_name[0]) : entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", directory, entry->d_name,
			 processes ? "/ns/net" : "");
		/* A kernel thread or a process that is gone has no namespace to read; nor has a plain
		 * file left behind by an unmount. */
		if (!stat(path, &st) && st.st_dev == own.st_dev)
			note(namespaces, (uint32_t)st.st_ino, path);
	}
	closedir(entries);
	return true;
}

static bool drop_unused(void *entry, void *arg)
{
	struct namespaces *namespaces = arg;
	struct netns *netns = entry;

	if (netns->scan == namespaces->scan)
		return false;
	if (netns->notice_fd >= 0) {
		if (namespaces->on_notice_fd)
			namespaces->on_notice_fd(netns, false, namespaces->arg);
		close(netns->notice_fd);
	}
	if (netns->diag_fd >= 0)
		close(netns->diag_fd);
	netns_usage_close(&netns->usage);
	return true;
}

bool namespaces_scan(struct namespaces *namespaces)
{
	namespaces->scan++;
	note(namespaces, own_netns(), "/proc/thread-self/ns/net");
	if (!namespaces->own_only) {
		if (!scan_directory(namespaces, "/proc", true)) {
			warn("cannot list /proc: %s", strerror(errno));
			return false;
		}
		/* It exists only once something was mounted there. */
		scan_directory(namespaces, MOUNTED_NAMESPACES, false);
	}
	table_sweep(&namespaces->table, drop_unused, namespaces);
	return true;
}

uint32_t namespaces_enter_each(struct namespaces *namespaces, void (*visit)(void *arg), void *arg)
{
	uint32_t own = own_netns(), entered = 0;
	struct netns *netns;
	size_t i = 0;

	while ((netns = table_next(&namespaces->table, &i))) {
		if (netns->inum == own)
			visit(arg);
		else if (!visit_inside(netns->path, visit, arg)) /* gone since, or not allowed */
			continue;
		entered++;
	}
	return entered;
}
