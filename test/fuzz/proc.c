// SPDX-License-Identifier: MIT
/* What /proc says, cut and mangled. Each reader is held against a slow one. */
#include "../../bpf/helper/proc_text.h"
#include "fuzz.h"

/* A process may choose its name, so that a stat line may hold anything but NUL up to the last ')'. */
static void check_stat(const char *text, size_t size, enum proc_stat_field wanted)
{
	char *line = malloc(size + 1), *at;
	uint64_t number = 0;
	bool found = proc_stat_number(text, size, wanted, &number);

	CHECK(line);
	memcpy(line, text, size);
	line[size] = '\0';
	at = strlen(line) == size ? strrchr(line, ')') : NULL;
	for (int field = 2; at && field < (int)wanted; field++)
		at = strchr(at + 1, ' ');
	if (found && at)
		CHECK(strtoull(at + 1, NULL, 10) == number);
	if (at && at[1] >= '0' && at[1] <= '9' && strspn(at + 1, "0123456789") < 19)
		CHECK(found);
	free(line);
}

static void check_link(const char *text, size_t size)
{
	uint32_t inode;
	char expected[32];
	int length;

	if (!proc_socket_inode(text, size, &inode))
		return;
	/* Written back it is what was read, but for leading zeros. */
	length = snprintf(expected, sizeof(expected), "%u]", inode);
	CHECK(size >= (size_t)length + 8);
	CHECK(memmem(text + 8, size - 8, expected, (size_t)length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_of(data, size);

	check_stat(text, size, STAT_CHILDRENS_FAULTS);
	check_stat(text, size, STAT_START_TICKS);
	check_link(text, size);
	free(text);
	return 0;
}
