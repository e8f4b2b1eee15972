// SPDX-License-Identifier: MIT
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "helper.h"

#define SMALLEST 64

enum slot_state {
	SLOT_FREE,
	SLOT_USED,
	SLOT_DOOMED, /* in use until the sweep is over */
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 32);
}

static size_t hash_of(const struct table *table, const void *key)
{
	const unsigned char *bytes = key;
	uint64_t hash = table->seed, word;
	size_t left = table->key_size;

	for (; left >= sizeof(word); left -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, left);
	/* Linear probing wants the low bits well mixed. */
	return mix(mix(hash, word), 0);
}

static void *entry_at(const struct table *table, size_t slot)
{
	return table->entries + slot * table->entry_size;
}

/* The slot that holds key, or the free one where it belongs. */
static size_t slot_of(const struct table *table, const void *key)
{
	size_t mask = table->capacity - 1;
	size_t slot = hash_of(table, key) & mask;

	while (table->slots[slot] && memcmp(entry_at(table, slot), key, table->key_size))
		slot = (slot + 1) & mask;
	return slot;
}

static void resize(struct table *table, size_t capacity)
{
	struct table other = *table;

	other.capacity = capacity;
	other.entries = calloc(capacity, table->entry_size);
	other.slots = calloc(capacity, 1);
	if (!other.entries || !other.slots)
		die("out of memory");
	for (size_t i = 0; i < table->capacity; i++) {
		size_t slot;

		if (!table->slots[i])
			continue;
		slot = slot_of(&other, entry_at(table, i));
		memcpy(entry_at(&other, slot), entry_at(table, i), table->entry_size);
		other.slots[slot] = SLOT_USED;
	}
	table_free(table);
	*table = other;
}

void table_init(struct table *table, size_t entry_size, size_t key_size)
{
	*table = (struct table){ .entry_size = entry_size, .key_size = key_size };
	/* Sixteen random bytes that the kernel gives every program (getauxval(3)). */
	memcpy(&table->seed, (const void *)getauxval(AT_RANDOM), sizeof(table->seed));
}

void *table_find(const struct table *table, const void *key)
{
	size_t slot;

	if (!table->count)
		return NULL;
	slot = slot_of(table, key);
	return table->slots[slot] ? entry_at(table, slot) : NULL;
}

void *table_insert(struct table *table, const void *key, bool *is_new)
{
	size_t slot;

	if ((table->count + 1) * 4 > table->capacity * 3)
		resize(table, table->capacity ? table->capacity * 2 : SMALLEST);
	slot = slot_of(table, key);
	if (is_new)
		*is_new = !table->slots[slot];
	if (!table->slots[slot]) {
		memset(entry_at(table, slot), 0, table->entry_size);
		memcpy(entry_at(table, slot), key, table->key_size);
		table->slots[slot] = SLOT_USED;
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
		if (!table->slots[slot])
			break;
		home = hash_of(table, entry_at(table, slot)) & mask;
		/* May not move before its home: is home cyclically in (hole, slot]? */
		if (((slot - home) & mask) < ((slot - hole) & mask))
			continue;
		memcpy(entry_at(table, hole), entry_at(table, slot), table->entry_size);
		table->slots[hole] = table->slots[slot];
		hole = slot;
	}
	table->slots[hole] = SLOT_FREE;
	table->count--;
}

void table_delete(struct table *table, const void *key)
{
	size_t slot;

	if (!table->count)
		return;
	slot = slot_of(table, key);
	if (table->slots[slot])
		delete_slot(table, slot);
}

static bool is_sparse(const struct table *table)
{
	return table->capacity > SMALLEST && table->count * 8 < table->capacity;
}

/*
 * In place, since most sweeps drop little. An entry that is moved back comes from a slot further on,
 * or from behind the wrap, where nothing is doomed any more.
 */
void table_sweep(struct table *table, bool (*drop)(void *entry, void *arg), void *arg)
{
	size_t doomed = 0;

	for (size_t i = 0; i < table->capacity; i++)
		if (table->slots[i] && drop(entry_at(table, i), arg)) {
			table->slots[i] = SLOT_DOOMED;
			doomed++;
		}
	for (size_t i = 0; i < table->capacity && doomed; i++)
		for (; table->slots[i] == SLOT_DOOMED; doomed--)
			delete_slot(table, i);
	if (is_sparse(table))
		resize(table, table->capacity / 4);
}

void table_clear(struct table *table)
{
	if (is_sparse(table))
		table_free(table);
	else if (table->capacity)
		memset(table->slots, SLOT_FREE, table->capacity);
	table->count = 0;
}

void table_free(struct table *table)
{
	free(table->entries);
	free(table->slots);
	table->entries = NULL;
	table->slots = NULL;
	table->capacity = 0;
	table->count = 0;
}

void *table_next(const struct table *table, size_t *index)
{
	while (*index < table->capacity) {
		size_t slot = (*index)++;

		if (table->slots[slot])
			return entry_at(table, slot);
	}
	return NULL;
}
