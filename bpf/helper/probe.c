// SPDX-License-Identifier: MIT
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpffs.h"
#include "inet_diag.h"
#include "ladder.h"
#include "poll.h"

static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_rung(int rung, int error, const char *text, void *arg)
{
	bool *any = arg;

	*any |= !error;
	printf("{\"probe\":\"rung\",\"rung\":\"%s\",\"ok\":%s,\"errno\":", rung_name(rung),
	       error ? "false" : "true");
	if (error)
		print_string(errno_name(error));
	else
		printf("null");
	printf(",\"detail\":");
	print_string(text);
	printf("}\n");
}

static void print_feature(const char *name, bool ok, const char *detail)
{
	printf("{\"probe\":\"feature\",\"name\":\"%s\",\"ok\":%s,\"detail\":", name,
	       ok ? "true" : "false");
	print_string(detail);
	printf("}\n");
}

static void probe_capabilities(void)
{
	static const struct {
		int bit;
		const char *name;
	} wanted[] = {
		{ 39, "CAP_BPF" }, /* Linux 5.8 */
		{ 38, "CAP_PERFMON" },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
		{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },
		{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH" },
	};
	unsigned long long effective = 0;
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (status)
		fclose(status);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		printf("{\"probe\":\"capability\",\"name\":\"%s\",\"ok\":%s}\n", wanted[i].name,
		       effective >> wanted[i].bit & 1 ? "true" : "false");
}

static void probe_features(const struct options *options)
{
	int diag = diag_open();
	int notices = diag_open_notices(options->notice_bytes);
	int notices_error = errno;
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	bool entered = home >= 0 && !setns(home, CLONE_NEWNET);

	print_feature("netns", entered, entered ? "" : strerror(errno));
	print_feature("btf", !access("/sys/kernel/btf/vmlinux", R_OK), "/sys/kernel/btf/vmlinux");
	print_feature("bpffs", bpffs_mounted(), "/sys/fs/bpf");
	print_feature("inet_diag", diag >= 0, diag >= 0 ? "" : "no NETLINK_SOCK_DIAG socket");
	print_feature("destroy_notices", notices >= 0, notices >= 0 ? "" : strerror(notices_error));
	close(diag);
	close(notices);
	close(home);
}

static void ignore_descriptor(int fd, bool on)
{
	(void)fd;
	(void)on;
}

int probe(const struct options *options)
{
	char text[TT_TEXT_SIZE] = "";
	struct poll *poll;
	bool any = false;

	for (int rung = TT_RUNG_FENTRY; rung >= TT_RUNG_TRACEPOINT; rung--)
		stream_close(ladder_try(options, rung, print_rung, &any));
	poll = poll_open(options, ignore_descriptor, text);
	print_rung(TT_RUNG_POLL, poll ? 0 : ENOTSUP, text, &any);
	probe_features(options);
	probe_capabilities();
	return any ? EXIT_OK : EXIT_UNSUPPORTED;
}
