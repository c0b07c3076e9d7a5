// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The peer chooses half of the ids, with gaps as it likes. So the hash is a multiplication by a
// secret (Dietzfelbinger's multiply-shift): whoever does not know the factor cannot find ids that
// collide more than a few at a time, and a frame's channel is found in the same time whatever the
// peer does.

#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_START 64

int mux_table_init(MuxTable *table, uint64_t seed)
{
    *table = (MuxTable){.buckets = calloc(SIZE_START, sizeof(MuxEntry *)),
                        .size = SIZE_START,
                        .factor = (seed ^ 0x9e3779b97f4a7c15u) | 1};
    return table->buckets ? 0 : -ENOMEM;
}

void mux_table_deinit(MuxTable *table)
{
    free(table->buckets);
    *table = (MuxTable){0};
}

static MuxEntry **bucket_of(const MuxTable *table, uint32_t id)
{
    uint64_t high = id * table->factor >> 32;
    return &table->buckets[high * table->size >> 32]; // its highest bits
}

static void grow(MuxTable *table)
{
    MuxTable larger = *table;
    larger.size *= 2;
    larger.buckets = calloc(larger.size, sizeof(MuxEntry *));
    if (!larger.buckets)
        return;
    for (uint32_t i = 0; i < table->size; i++) {
        for (MuxEntry *entry = table->buckets[i], *next; entry; entry = next) {
            MuxEntry **bucket = bucket_of(&larger, entry->id);
            next = entry->next;
            entry->next = *bucket;
            *bucket = entry;
        }
    }
    free(table->buckets);
    *table = larger;
}

void mux_table_add(MuxTable *table, MuxEntry *entry)
{
    if (table->count >= table->size)
        grow(table);

    MuxEntry **bucket = bucket_of(table, entry->id);
    entry->next = *bucket;
    *bucket = entry;
    table->count++;
}

void mux_table_clear(MuxTable *table)
{
    memset(table->buckets, 0, table->size * sizeof(MuxEntry *));
    table->count = 0;
}

void mux_table_remove(MuxTable *table, MuxEntry *entry)
{
    MuxEntry **link = bucket_of(table, entry->id);
    while (*link && *link != entry)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = entry->next;
    entry->next = NULL;
    table->count--;
}

MuxEntry *mux_table_find(const MuxTable *table, uint32_t id)
{
    MuxEntry *entry = *bucket_of(table, id);
    while (entry && entry->id != id)
        entry = entry->next;
    return entry;
}

MuxEntry *mux_table_next(const MuxTable *table, const MuxEntry *entry)
{
    if (entry && entry->next)
        return entry->next;
    uint32_t i = entry ? (uint32_t)(bucket_of(table, entry->id) - table->buckets) + 1 : 0;
    while (i < table->size && !table->buckets[i])
        i++;
    return i < table->size ? table->buckets[i] : NULL;
}
