// SPDX-License-Identifier: MIT
#include "netns_usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void netns_usage_init(struct netns_usage *usage)
{
	for (int i = 0; i < USAGE_FILES; i++)
		usage->fds[i] = -1;
}

void netns_usage_open(struct netns_usage *usage)
{
	static const char *const paths[USAGE_FILES] = {
		[USAGE_SOCKSTAT] = "/proc/thread-self/net/sockstat",
		[USAGE_SOCKSTAT6] = "/proc/thread-self/net/sockstat6",
		[USAGE_SNMP] = "/proc/thread-self/net/snmp",
	};

	for (int i = 0; i < USAGE_FILES; i++)
		usage->fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
}

void netns_usage_close(struct netns_usage *usage)
{
	for (int i = 0; i < USAGE_FILES; i++)
		if (usage->fds[i] >= 0)
			close(usage->fds[i]);
}

/* The file anew; false if there is none. */
static bool read_text(const struct netns_usage *usage, enum netns_usage_file file, char *text,
		      size_t size)
{
	int fd = usage->fds[file];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, size - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* "TCP: inuse 3 orphan 0 ..." or "TCP6: inuse 3"; -1 where that can't be read. */
static long tcp_in_use(const struct netns_usage *usage, enum netns_usage_file file)
{
	char text[512], *line;
	long in_use;

	if (!read_text(usage, file, text, sizeof(text)))
		return -1;
	line = strstr(text, "TCP");
	if (!line || sscanf(line, "%*[^:]: inuse %ld", &in_use) != 1)
		return -1;
	return in_use;
}

bool netns_usage_is_none(const struct netns_usage *usage)
{
	return !tcp_in_use(usage, USAGE_SOCKSTAT) && !tcp_in_use(usage, USAGE_SOCKSTAT6);
}

/* A line of names and one of values; the order of those that the MIB has is fixed. */
bool netns_usage_counts(const struct netns_usage *usage, struct tcp_counts *counts)
{
	char text[4096], *names, *values;

	if (!read_text(usage, USAGE_SNMP, text, sizeof(text)))
		return false;
	names = strstr(text, "\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens "
			     "AttemptFails EstabResets CurrEstab ");
	values = names ? strstr(names + 1, "\nTcp: ") : NULL;
	return values && sscanf(values,
				" Tcp: %*s %*s %*s %*s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
				" %" SCNu64,
				&counts->active_opens, &counts->passive_opens,
				&counts->attempt_fails, &counts->resets, &counts->established) == 5;
}
