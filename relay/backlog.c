// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A queue of chunks. Small pieces are gathered in a chunk's free space: a peer that sends its
// credit in frames of one byte must not cost an allocation each.

#include "backlog.h"

#include <glib.h>
#include <string.h>

#define CHUNK_MIN 4096

struct MuxChunk {
    MuxChunk *next;
    size_t start, end, room;
    unsigned char bytes[];
};

static MuxChunk *add_chunk(MuxBacklog *backlog, size_t size)
{
    size_t room = MAX(size, CHUNK_MIN);
    MuxChunk *chunk = g_malloc(sizeof(MuxChunk) + room);

    *chunk = (MuxChunk){.room = room};
    if (backlog->last)
        backlog->last->next = chunk;
    else
        backlog->first = chunk;
    backlog->last = chunk;
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
        MuxChunk *chunk = add_chunk(backlog, size - fits);
        memcpy(chunk->bytes, (const unsigned char *)bytes + fits, size - fits);
        chunk->end = size - fits;
    }
    backlog->size += size;
}

size_t mux_backlog_peek(const MuxBacklog *backlog, struct iovec *pieces, size_t most)
{
    size_t n = 0;

    for (MuxChunk *chunk = backlog->first; chunk && n < most; chunk = chunk->next)
        pieces[n++] = (struct iovec){chunk->bytes + chunk->start, chunk->end - chunk->start};
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
        g_free(chunk);
    }
}

void mux_backlog_clear(MuxBacklog *backlog)
{
    mux_backlog_drop(backlog, backlog->size);
}
