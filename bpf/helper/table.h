/* SPDX-License-Identifier: MIT */
/*
 * A hash table of fixed-size entries that begin with their key (open addressing, linear probing,
 * deletion by shifting back). Grows as needed; 2^31 entries at most.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	size_t entry_size;
	size_t key_size; /* leading bytes of an entry; padding within must be zero */
	size_t count;
	size_t capacity; /* a power of two, or 0 */
	uint64_t seed; /* of the hash: what peers choose must not make all keys collide */
	unsigned char *entries;
	unsigned char *slots; /* enum slot_state of each */
};

void table_init(struct table *table, size_t entry_size, size_t key_size);
/* The entry of key, or NULL. Valid until the next insertion or deletion. */
void *table_find(const struct table *table, const void *key);
/* The entry of key; a new one, zero but for the key, if there was none (*is_new tells). */
void *table_insert(struct table *table, const void *key, bool *is_new);
void table_delete(struct table *table, const void *key);
/* Deletes every entry for which drop returns true; asks once for each. */
void table_sweep(struct table *table, bool (*drop)(void *entry, void *arg), void *arg);
void table_clear(struct table *table);
void table_free(struct table *table);

/* Iterates: for (size_t i = 0; (entry = table_next(&table, &i));) */
void *table_next(const struct table *table, size_t *index);

#endif
