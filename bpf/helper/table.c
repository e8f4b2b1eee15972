// SPDX-License-Identifier: MIT
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "helper.h"

/* FNV-1a, then a finaliser: linear probing wants the low bits well mixed. */
static size_t hash_of(const void *key, size_t size)
{
	const unsigned char *bytes = key;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 32);
}

static void *entry_at(const struct table *table, size_t slot)
{
	return table->entries + slot * table->entry_size;
}

/* The slot that holds key, or the free one where it belongs. */
static size_t slot_of(const struct table *table, const void *key)
{
	size_t mask = table->capacity - 1;
	size_t slot = hash_of(key, table->key_size) & mask;

	while (table->used[slot] && memcmp(entry_at(table, slot), key, table->key_size))
		slot = (slot + 1) & mask;
	return slot;
}

static void grow(struct table *table)
{
	struct table larger = *table;

	larger.capacity = table->capacity ? table->capacity * 2 : 64;
	larger.entries = calloc(larger.capacity, table->entry_size);
	larger.used = calloc(larger.capacity, sizeof(bool));
	if (!larger.entries || !larger.used)
		die("out of memory");
	for (size_t i = 0; i < table->capacity; i++) {
		size_t slot;

		if (!table->used[i])
			continue;
		slot = slot_of(&larger, entry_at(table, i));
		memcpy(entry_at(&larger, slot), entry_at(table, i), table->entry_size);
		larger.used[slot] = true;
	}
	table_free(table);
	*table = larger;
}

void table_init(struct table *table, size_t entry_size, size_t key_size)
{
	*table = (struct table){ .entry_size = entry_size, .key_size = key_size };
}

void *table_find(const struct table *table, const void *key)
{
	size_t slot;

	if (!table->count)
		return NULL;
	slot = slot_of(table, key);
	return table->used[slot] ? entry_at(table, slot) : NULL;
}

void *table_insert(struct table *table, const void *key, bool *is_new)
{
	size_t slot;

	if ((table->count + 1) * 4 > table->capacity * 3)
		grow(table);
	slot = slot_of(table, key);
	if (is_new)
		*is_new = !table->used[slot];
	if (!table->used[slot]) {
		memset(entry_at(table, slot), 0, table->entry_size);
		memcpy(entry_at(table, slot), key, table->key_size);
		table->used[slot] = true;
		table->count++;
	}
	return entry_at(table, slot);
}

static void delete_slot(struct table *table, size_t hole)
{
	size_t mask = table->capacity - 1;
	size_t slot = hole;

	for (;;) {
		size_t home;

		slot = (slot + 1) & mask;
		if (!table->used[slot])
			break;
		home = hash_of(entry_at(table, slot), table->key_size) & mask;
		/* May not move before its home: is home cyclically in (hole, slot]? */
		if (((slot - home) & mask) < ((slot - hole) & mask))
			continue;
		memcpy(entry_at(table, hole), entry_at(table, slot), table->entry_size);
		hole = slot;
	}
	table->used[hole] = false;
	table->count--;
}

void table_delete(struct table *table, const void *key)
{
	size_t slot;

	if (!table->count)
		return;
	slot = slot_of(table, key);
	if (table->used[slot])
		delete_slot(table, slot);
}

void table_sweep(struct table *table, bool (*drop)(void *entry, void *arg), void *arg)
{
	struct table kept;
	size_t i = 0;
	void *entry;

	table_init(&kept, table->entry_size, table->key_size);
	while ((entry = table_next(table, &i)))
		if (!drop(entry, arg))
			memcpy(table_insert(&kept, entry, NULL), entry, table->entry_size);
	table_free(table);
	*table = kept;
}

void table_clear(struct table *table)
{
	if (table->capacity)
		memset(table->used, 0, table->capacity * sizeof(bool));
	table->count = 0;
}

void table_free(struct table *table)
{
	free(table->entries);
	free(table->used);
	table->entries = NULL;
	table->used = NULL;
	table->capacity = 0;
	table->count = 0;
}

void *table_next(const struct table *table, size_t *index)
{
	while (*index < table->capacity) {
		size_t slot = (*index)++;

		if (table->used[slot])
			return entry_at(table, slot);
	}
	return NULL;
}
