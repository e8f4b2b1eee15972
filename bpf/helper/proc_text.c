// SPDX-License-Identifier: MIT
#include "proc_text.h"

#include <string.h>

/* Decimal digits from at on; returns where they end, NULL if there are none or too many. */
static const char *read_number(const char *at, const char *end, uint64_t *number)
{
	const char *digits = at;

	for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*at - '0'), number))
			return NULL;
	return at == digits ? NULL : at;
}

bool proc_stat_number(const char *stat, size_t length, enum proc_stat_field wanted,
		      uint64_t *number)
{
	const char *end = stat + length;
	/* The command name before it may hold blanks and parentheses. */
	const char *at = memrchr(stat, ')', length);

	for (int field = 2; at && field < (int)wanted; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	return at && read_number(at, end, number);
}

bool proc_socket_inode(const char *target, size_t length, uint32_t *inode)
{
	static const char prefix[] = "socket:[";
	const size_t skip = sizeof(prefix) - 1;
	const char *end = target + length;
	uint64_t number;

	if (length < skip || memcmp(target, prefix, skip))
		return false;
	target = read_number(target + skip, end, &number);
	if (!target || target == end || *target != ']' || number > UINT32_MAX)
		return false;
	*inode = (uint32_t)number;
	return true;
}
