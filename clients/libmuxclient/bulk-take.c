// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The receiver of a bulk stream. The sender is trusted with nothing: a piece's place is checked
// against what is mapped, and against what he was not given back.

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bulk.h"

#define NEWS_MAX 64 // that are read of the buffer at once

int mux_client_bulk_receiver(int channel, const char *socket, const char *link,
                             MuxClientBulk **ret_bulk)
{
    MuxClientBulk *bulk = NULL;
    int r = mux_client_bulk_new(channel, false, &bulk);

    if (r < 0)
        return r;
    bulk->socket = socket ? strdup(socket) : NULL;
    bulk->link = link ? strdup(link) : NULL;
    if ((socket && !bulk->socket) || (link && !bulk->link)) {
        mux_client_bulk_free(bulk);
        return -ENOMEM;
    }
    *ret_bulk = bulk;
    return 0;
}

// Whether the buffer is still there. What else is said of it does not matter here.
static int check_buffer(MuxClientBulk *bulk)
{
    MuxClientBuffer *buffer = bulk->buffer;
    const MuxClientBufferNews *news;

    for (int i = 0; i < NEWS_MAX && buffer->ended == 0; i++)
        if (mux_client_buffer_next(buffer, 0, &news) == MUX_CLIENT_AGAIN)
            break;
    if (buffer->ended == 0)
        return 0;
    return mux_client_bulk_fail(bulk, MUX_CLIENT_GONE,
                                buffer->ended == MUX_CLIENT_GONE ? buffer->reason
                                                                 : "the daemon has ended");
}

// Says what is given back. A sender who has ended does not hear it; what he said before counts.
static int push(MuxClientBulk *bulk)
{
    int r = mux_client_bulk_push(bulk);

    if (r == MUX_CLIENT_CLOSED)
        bulk->unsent_length = 0;
    return r == MUX_CLIENT_CLOSED ? 0 : r;
}

// No more comes. He waits for what was given back, so that goes first.
static int finish(MuxClientBulk *bulk)
{
    bulk->ending = true;
    int r = push(bulk);
    return r != 0 ? r : mux_client_bulk_fail(bulk, MUX_CLIENT_CLOSED, "the sender has ended");
}

// Reads a piece's place, and checks it. To a sender who does not want to hear what he got back
// nothing more is given back.
static int read_piece(MuxClientBulk *bulk, MuxClientPiece *ret_piece)
{
    uint64_t untrusted_offset = 0, untrusted_length = 0;

    if (bulk->ending)
        return finish(bulk);
    if (mux_client_bulk_is_full(bulk))
        (void)push(bulk);
    if (mux_client_bulk_is_full(bulk))
        return MUX_CLIENT_AGAIN;
    int r = mux_client_bulk_read_piece(bulk, &untrusted_offset, &untrusted_length);
    if (r == MUX_CLIENT_AGAIN)
        (void)push(bulk);
    if (r == MUX_CLIENT_CLOSED)
        return finish(bulk);
    if (r != 0)
        return r;
    if (!mux_client_pieces_add(&bulk->pieces, untrusted_offset, untrusted_length))
        return mux_client_bulk_fail(bulk, -EPROTO, MUX_CLIENT_BULK_NONSENSE);
    *ret_piece = (MuxClientPiece){.offset = untrusted_offset, .length = untrusted_length};
    return 0;
}

// One attempt. The buffer is looked at after the channel: an orderly end is told by the channel,
// and what is in a piece counts only if the buffer was there afterwards.
static int take(MuxClientBulk *bulk, const void **ret_memory, size_t *ret_length)
{
    MuxClientPiece piece = {0};

    int r = bulk->buffer ? 0 : mux_client_bulk_begin(bulk);
    if (r == 0)
        r = read_piece(bulk, &piece);
    if (r == MUX_CLIENT_CLOSED && bulk->result == 0)
        return mux_client_bulk_fail(bulk, r, "the sender has ended"); // without a word
    if (bulk->buffer && !bulk->ending && (r == 0 || r == MUX_CLIENT_AGAIN)) {
        int gone = check_buffer(bulk);
        if (gone != 0)
            return gone;
    }
    if (r == 0) {
        *ret_memory = bulk->base + piece.offset;
        *ret_length = (size_t)piece.length;
    }
    return r;
}

int mux_client_bulk_take(MuxClientBulk *bulk, int timeout_ms, const void **ret_memory,
                         size_t *ret_length)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int r = bulk->result;

    if (bulk->sender)
        return -EINVAL;
    while (r == 0) {
        r = take(bulk, ret_memory, ret_length);
        if (r != MUX_CLIENT_AGAIN)
            return r;
        r = mux_client_bulk_wait(bulk, deadline);
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}

int mux_client_bulk_release(MuxClientBulk *bulk, const void *memory, unsigned flags)
{
    uint64_t offset = (uint64_t)((uintptr_t)memory - (uintptr_t)bulk->base);
    MuxClientPiece *piece = bulk->sender ? NULL : mux_client_pieces_find(&bulk->pieces, offset);

    if (!piece)
        return -EINVAL;
    uint64_t length = piece->length;
    mux_client_pieces_remove(&bulk->pieces, piece);
    if (bulk->result == 0 || bulk->result == MUX_CLIENT_CLOSED)
        (void)check_buffer(bulk);
    (void)mux_client_bulk_put_piece(bulk, offset, length); // there is room: see take()
    int r = flags & MUX_CLIENT_BULK_MORE ? 0 : mux_client_bulk_push(bulk);
    if (r < 0)
        return r;
    return bulk->result == MUX_CLIENT_GONE ? MUX_CLIENT_GONE : 0;
}
