// SPDX-License-Identifier: MIT
#include "libbpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "helper.h"

static char first_warning[512];
static bool to_stderr;

static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[sizeof(first_warning)];

	if (level == LIBBPF_DEBUG)
		return 0;
	if (to_stderr) {
		va_list copy;

		va_copy(copy, args);
		vfprintf(stderr, format, copy);
		va_end(copy);
	}
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	if (level != LIBBPF_WARN || first_warning[0])
		return 0;
	/* libbpf's own trial load failed; it goes on to guess at memory limits, which misleads. */
	if (strstr(line, "probe_loading"))
		strcpy(first_warning, "the kernel refuses bpf(2)");
	/* The first warning is the cause, what follows are consequences. Hints at
	 * memory limits come with every EPERM and mislead as well. */
	else if (!strstr(line, "ulimit") && !strstr(line, "RLIMIT_MEMLOCK"))
		strcpy(first_warning, line);
	return 0;
}

void libbpf_log_install(bool verbose)
{
	to_stderr = verbose;
	libbpf_set_print(on_print);
}

void libbpf_log_reset(void)
{
	first_warning[0] = '\0';
}

void libbpf_log_reason(int error, char *text, size_t size)
{
	const char *line = first_warning;

	if (!strncmp(line, "libbpf: ", 8))
		line += 8;
	if (*line)
		snprintf(text, size, "%s: %s", errno_name(error), line);
	else
		snprintf(text, size, "%s: %s", errno_name(error), strerror(error));
}
