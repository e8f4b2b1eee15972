// SPDX-License-Identifier: MIT
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPT_MODE = 256,
	OPT_ATTACH,
	OPT_NETNS,
	OPT_MAX_FLOWS,
	OPT_MAX_SOCKETS,
	OPT_RING_BYTES,
	OPT_NOTICE_BYTES,
	OPT_FEW_SOCKETS,
	OPT_TIME_WAIT,
	OPT_PIN,
	OPT_PROBE,
	OPT_VERBOSE,
};

static const struct option long_options[] = {
	{ "mode", required_argument, NULL, OPT_MODE }, /* auto, stream, poll */
	{ "attach", required_argument, NULL, OPT_ATTACH }, /* auto, fentry, kprobe, tracepoint */
	{ "netns", required_argument, NULL, OPT_NETNS }, /* all, own */
	{ "max-flows", required_argument, NULL, OPT_MAX_FLOWS },
	{ "max-sockets", required_argument, NULL, OPT_MAX_SOCKETS },
	{ "ring-bytes", required_argument, NULL, OPT_RING_BYTES }, /* a power of two */
	{ "notice-bytes", required_argument, NULL, OPT_NOTICE_BYTES },
	{ "few-sockets", required_argument, NULL, OPT_FEW_SOCKETS },
	{ "time-wait", no_argument, NULL, OPT_TIME_WAIT },
	{ "pin", required_argument, NULL, OPT_PIN }, /* directory below /sys/fs/bpf */
	{ "probe", no_argument, NULL, OPT_PROBE },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{},
};

/* The index of value in a list that ends with NULL, or -1 after saying so. */
static int choose(const char *option, const char *value, const char *const *accepted)
{
	for (int i = 0; accepted[i]; i++)
		if (!strcmp(value, accepted[i]))
			return i;
	warn("--%s: '%s' is not known", option, value);
	return -1;
}

static bool parse_size(const char *option, const char *value, uint32_t *out)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	if (*end || number < 1 || number > 1 << 24) {
		warn("--%s: '%s' is not a number from 1 to %d", option, value, 1 << 24);
		return false;
	}
	*out = (uint32_t)number;
	return true;
}

static bool parse_one(int option, struct options *options)
{
	static const char *const modes[] = { "auto", "stream", "poll", NULL };
	static const char *const rungs[] = { "auto", "tracepoint", "kprobe", "fentry", NULL };
	static const char *const netns[] = { "all", "own", NULL };
	int chosen = 0;

	switch (option) {
	case OPT_MODE:
		chosen = choose("mode", optarg, modes);
		options->mode = (enum mode_option)chosen;
		return chosen >= 0;
	case OPT_ATTACH:
		chosen = choose("attach", optarg, rungs);
		options->attach = chosen > 0 ? chosen : -1; /* enum tt_rung has the same order */
		return chosen >= 0;
	case OPT_NETNS:
		chosen = choose("netns", optarg, netns);
		options->own_netns = chosen == 1;
		return chosen >= 0;
	case OPT_MAX_FLOWS:
		return parse_size("max-flows", optarg, &options->max_flows);
	case OPT_MAX_SOCKETS:
		return parse_size("max-sockets", optarg, &options->max_sockets);
	case OPT_RING_BYTES:
		return parse_size("ring-bytes", optarg, &options->ring_bytes);
	case OPT_NOTICE_BYTES:
		return parse_size("notice-bytes", optarg, &options->notice_bytes);
	case OPT_FEW_SOCKETS:
		return parse_size("few-sockets", optarg, &options->few_sockets);
	case OPT_TIME_WAIT:
		options->time_wait = true;
		return true;
	case OPT_PIN:
		options->pin_dir = optarg;
		return true;
	case OPT_PROBE:
		options->probe = true;
		return true;
	case OPT_VERBOSE:
		options->verbose = true;
		return true;
	}
	return false; /* getopt has said why */
}

bool options_parse(int argc, char **argv, struct options *options)
{
	int option;

	*options = (struct options){ .attach = -1,
				     .max_flows = 16384,
				     .max_sockets = 65536,
				     .ring_bytes = 1 << 20,
				     .few_sockets = 256,
				     .notice_bytes = 8 << 20 };
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!parse_one(option, options))
			return false;
	if (optind < argc) {
		warn("unexpected argument '%s'", argv[optind]);
		return false;
	}
	return true;
}
