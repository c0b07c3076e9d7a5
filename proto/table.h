// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Channels by id: a hash table of entries that are embedded in what they stand for.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct MuxEntry {
    struct MuxEntry *next;
    uint32_t id;
} MuxEntry;

typedef struct MuxTable {
    MuxEntry **buckets;
    uint32_t size; // of buckets, a power of two
    uint32_t count;
    uint64_t factor; // of the hash
} MuxTable;

// 0 or -ENOMEM. With a `seed` that a peer does not know, it cannot choose ids that fall into one
// bucket.
int mux_table_init(MuxTable *table, uint64_t seed);
// The entries are not the table's. Harmless on an empty table.
void mux_table_deinit(MuxTable *table);

// Puts in an entry whose id is set and not yet there. Cannot fail: a table that cannot grow gets
// slower.
void mux_table_add(MuxTable *table, MuxEntry *entry);
// Forgets all entries at once.
void mux_table_clear(MuxTable *table);
// No effect when it is not there.
void mux_table_remove(MuxTable *table, MuxEntry *entry);
MuxEntry *mux_table_find(const MuxTable *table, uint32_t id);
// To walk all of them: NULL gives the first, NULL comes after the last. Nothing may be added or
// removed on the way.
MuxEntry *mux_table_next(const MuxTable *table, const MuxEntry *entry);
