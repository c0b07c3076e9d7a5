// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Ids count up by two from each end, so an id's low bits are as good a hash as any, and a peer
// that skips ids to make a long bucket pays for it with its own id space and within its channel limit.

#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_START 64

int mux_table_init(MuxTable *table)
{
    *table = (MuxTable){.buckets = calloc(SIZE_START, sizeof(MuxEntry *)), .size = SIZE_START};
    return table->buckets ? 0 : -ENOMEM;
}

void mux_table_deinit(MuxTable *table)
{
    free(table->buckets);
    *table = (MuxTable){0};
}

static MuxEntry **bucket_of(const MuxTable *table, uint32_t id)
{
    // Multiplying spreads ids that were skipped by a power of two.
    return &table->buckets[(id * 0x9e3779b1u >> 7) & (table->size - 1)];
}

static void grow(MuxTable *table)
{
    MuxTable larger = {calloc((size_t)table->size * 2, sizeof(MuxEntry *)), table->size * 2, 0};
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
    larger.count = table->count;
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
