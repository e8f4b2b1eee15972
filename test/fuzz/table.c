// SPDX-License-Identifier: MIT
/* The hash table against an array: three bytes are one step, what to do and with which entry. */
#include "../../bpf/helper/table.h"
#include "fuzz.h"

#define KEYS 512

struct entry {
	uint32_t key;
	uint32_t value;
};

static struct table table;
static uint32_t values[KEYS]; /* 0: not there */
static size_t count;

static void insert(uint32_t key, uint32_t value)
{
	bool is_new;
	struct entry *entry = table_insert(&table, &key, &is_new);

	CHECK(is_new == !values[key] && entry->key == key);
	CHECK(entry->value == values[key]);
	count += is_new;
	entry->value = values[key] = value;
}

static void delete (uint32_t key)
{
	table_delete(&table, &key);
	count -= values[key] != 0;
	values[key] = 0;
}

static bool is_odd(void *entry, void *arg)
{
	(void)arg;
	return ((struct entry *)entry)->value & 1;
}

static void sweep(void)
{
	table_sweep(&table, is_odd, NULL);
	for (uint32_t key = 0; key < KEYS; key++)
		if (values[key] & 1) {
			values[key] = 0;
			count--;
		}
}

static void compare(void)
{
	struct entry *entry;
	size_t index = 0, seen = 0;

	CHECK(table.count == count);
	while ((entry = table_next(&table, &index))) {
		CHECK(entry->value == values[entry->key]);
		seen++;
	}
	CHECK(seen == count);
	for (uint32_t key = 0; key < KEYS; key++)
		CHECK(!table_find(&table, &key) == !values[key]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	table_init(&table, sizeof(struct entry), sizeof(uint32_t));
	memset(values, 0, sizeof(values));
	count = 0;
	while (size) {
		uint8_t what = take_byte(&data, &size), value = take_byte(&data, &size);
		uint32_t key = (take_byte(&data, &size) | (uint32_t)what << 8) % KEYS;

		if (what < 170)
			insert(key, value + 1u);
		else if (what < 250)
			delete (key);
		else if (what < 253)
			sweep();
		else
			compare();
	}
	compare();
	table_free(&table);
	return 0;
}
