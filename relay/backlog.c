// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A queue of chunks. Small pieces are gathered in a chunk's free space: a peer that sends its
// credit in frames of one byte must not cost an allocation each.

#include "backlog.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MIN 4096

struct MuxChunk {
    MuxChunk *next;
    const unsigned char *base; // `bytes`, or in a slot
    uint64_t slot;             // 0: none
    size_t start, end, room;
    unsigned char bytes[];
};

static void add(MuxBacklog *backlog, MuxChunk *chunk)
{
    if (backlog->last)
        backlog->last->next = chunk;
    else
        backlog->first = chunk;
    backlog->last = chunk;
}

static MuxChunk *new_chunk(size_t size)
{
    size_t room = MAX(size, CHUNK_MIN);
    MuxChunk *chunk = g_malloc(sizeof(MuxChunk) + room);

    *chunk = (MuxChunk){.base = chunk->bytes, .room = room};
    return chunk;
}

void mux_backlog_append(MuxBacklog *backlog, const void *bytes, size_t size)
{
    MuxChunk *last = backlog->last;
    size_t fits = last ? MIN(size, last->room - last->end) : 0;

    if (fits > 0)
        memcpy(last->bytes + last->end, bytes, fits);
    if (last)
        last->end += fits;
    if (fits < size) {
        MuxChunk *chunk = new_chunk(size - fits);
        memcpy(chunk->bytes, (const unsigned char *)bytes + fits, size - fits);
        chunk->end = size - fits;
        add(backlog, chunk);
    }
    backlog->size += size;
}

void mux_backlog_append_slot(MuxBacklog *backlog, const void *bytes, size_t size, uint64_t slot)
{
    MuxChunk *chunk = g_malloc(sizeof(MuxChunk));

    // No room: nothing is put behind the bytes of a slot.
    *chunk = (MuxChunk){.base = bytes, .slot = slot, .end = size, .room = size};
    add(backlog, chunk);
    backlog->size += size;
}

// The kernel reads the slot, since it says EFAULT where we would get SIGBUS: the region may be a
// file that somebody has cut.
static MuxChunk *rescue(const MuxChunk *old, int scratch)
{
    size_t size = old->end - old->start;
    MuxChunk *chunk = new_chunk(size);

    chunk->end = size;
    if (pwrite(scratch, old->base + old->start, size, 0) == (ssize_t)size &&
        pread(scratch, chunk->bytes, size, 0) == (ssize_t)size)
        return chunk;
    g_free(chunk);
    return NULL;
}

bool mux_backlog_rescue(MuxBacklog *backlog, int scratch)
{
    for (MuxChunk **at = &backlog->first; *at; at = &(*at)->next) {
        MuxChunk *old = *at, *chunk = old->slot ? rescue(old, scratch) : old;
        if (!chunk) {
            mux_backlog_clear(backlog);
            return false;
        }
        if (chunk == old)
            continue;
        chunk->next = old->next;
        *at = chunk;
        if (backlog->last == old)
            backlog->last = chunk;
        mux_session_give(backlog->session, old->slot);
        g_free(old);
    }
    return true;
}

size_t mux_backlog_peek(const MuxBacklog *backlog, struct iovec *pieces, size_t most)
{
    size_t n = 0;

    for (MuxChunk *chunk = backlog->first; chunk && n < most; chunk = chunk->next)
        pieces[n++] =
            (struct iovec){(void *)(chunk->base + chunk->start), chunk->end - chunk->start};
    return n;
}

void mux_backlog_drop(MuxBacklog *backlog, size_t size)
{
    backlog->size -= size;
    while (size > 0) {
        MuxChunk *chunk = backlog->first;
        g_assert(chunk);
        size_t take = MIN(size, chunk->end - chunk->start);
        chunk->start += take;
        size -= take;
        if (chunk->start < chunk->end)
            return;
        backlog->first = chunk->next;
        if (!chunk->next)
            backlog->last = NULL;
        if (chunk->slot)
            mux_session_give(backlog->session, chunk->slot);
        g_free(chunk);
    }
}

void mux_backlog_clear(MuxBacklog *backlog)
{
    mux_backlog_drop(backlog, backlog->size);
}
