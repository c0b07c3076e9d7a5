// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The sender of a bulk stream. Each piece is reserved, then committed, and free again when the
// receiver says so, whose word is checked: he can give back what he has and nothing else. Releases
// are read when room is needed.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bulk.h"
#include "bytes.h"

// The receiver opens the buffer by its name, and knows by the id that it is the same one.
static int put_hello(MuxClientBulk *bulk, uint64_t offset)
{
    const MuxClientBufferInfo *info = mux_client_buffer_info(bulk->buffer);
    unsigned char hello[MUX_CLIENT_BULK_HELLO] = MUX_CLIENT_BULK_MAGIC;
    size_t length = strlen(info->buffer);
    uint64_t id = info->id ? strtoull(info->id, NULL, 16) : 0;

    if (id == 0 || length > MUX_CLIENT_BULK_NAME)
        return -EINVAL;
    put_number(hello + 8, 8, id);
    put_number(hello + 16, 8, offset);
    put_number(hello + 24, 8, bulk->pieces.size);
    put_number(hello + 32, 4, length);
    (void)mux_client_bulk_put(bulk, hello, sizeof(hello));
    (void)mux_client_bulk_put(bulk, info->buffer, length);
    return 0;
}

int mux_client_bulk_sender(int channel, MuxClientBuffer *buffer, uint64_t offset, uint64_t size,
                           MuxClientBulk **ret_bulk)
{
    MuxClientBulk *bulk = NULL;

    if (!mux_client_buffer_writable(buffer))
        return -EACCES;
    uint64_t whole = mux_client_buffer_size(buffer);
    if (offset % MUX_CLIENT_BULK_ALIGN != 0 || offset >= whole || size > whole - offset)
        return -EINVAL;
    int r = mux_client_bulk_new(channel, true, &bulk);
    if (r < 0)
        return r;
    bulk->buffer = buffer;
    bulk->base = (unsigned char *)mux_client_buffer_memory(buffer) + offset;
    bulk->pieces.size = size > 0 ? size : whole - offset;
    r = put_hello(bulk, offset);
    if (r == 0)
        *ret_bulk = bulk;
    else
        mux_client_bulk_free(bulk);
    return r;
}

static int closed(MuxClientBulk *bulk)
{
    return mux_client_bulk_fail(bulk, MUX_CLIENT_CLOSED, "the receiver has ended");
}

// Takes what the receiver has given back; AGAIN when that is all for now, CLOSED when for ever.
static int collect(MuxClientBulk *bulk)
{
    uint64_t offset = 0, length = 0;

    for (;;) {
        int r = mux_client_bulk_read_piece(bulk, &offset, &length);
        if (r != 0)
            return r;
        MuxClientPiece *piece = mux_client_pieces_find(&bulk->pieces, offset);
        if (!piece || !piece->committed || piece->length != length)
            return mux_client_bulk_fail(bulk, -EPROTO,
                                        "the receiver releases what it does not have");
        mux_client_pieces_remove(&bulk->pieces, piece);
    }
}

// One attempt.
static int reserve(MuxClientBulk *bulk, size_t size, void **ret_memory)
{
    uint64_t offset = 0;

    if (!mux_client_pieces_reserve(&bulk->pieces, size, &offset)) {
        int r = mux_client_bulk_push(bulk);
        if (r == 0 || r == MUX_CLIENT_AGAIN)
            r = collect(bulk);
        if (r != MUX_CLIENT_AGAIN)
            return r == MUX_CLIENT_CLOSED ? closed(bulk) : r;
        if (!mux_client_pieces_reserve(&bulk->pieces, size, &offset))
            return MUX_CLIENT_AGAIN;
    }
    *ret_memory = bulk->base + offset;
    return 0;
}

int mux_client_bulk_reserve(MuxClientBulk *bulk, size_t size, int timeout_ms, void **ret_memory)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int r = bulk->result;

    if (!bulk->sender || bulk->ending || size == 0)
        return -EINVAL;
    if (size > bulk->pieces.size)
        return -EMSGSIZE;
    while (r == 0) {
        r = reserve(bulk, size, ret_memory);
        if (r != MUX_CLIENT_AGAIN)
            return r;
        r = mux_client_bulk_wait(bulk, deadline);
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}

static MuxClientPiece *find(MuxClientBulk *bulk, const void *memory)
{
    uint64_t offset = (uint64_t)((uintptr_t)memory - (uintptr_t)bulk->base);

    return mux_client_pieces_find(&bulk->pieces, offset);
}

// Puts a message among the others; AGAIN when there is no room even after those were pushed.
static int say(MuxClientBulk *bulk, uint64_t offset, size_t length)
{
    if (mux_client_bulk_put_piece(bulk, offset, length))
        return 0;
    int r = mux_client_bulk_push(bulk);
    if (r < 0 || r == MUX_CLIENT_CLOSED)
        return r;
    return mux_client_bulk_put_piece(bulk, offset, length) ? 0 : MUX_CLIENT_AGAIN;
}

int mux_client_bulk_commit(MuxClientBulk *bulk, void *memory, size_t length, unsigned flags)
{
    MuxClientPiece *piece = bulk->sender ? find(bulk, memory) : NULL;

    if (!piece || piece->committed || bulk->ending || length > piece->length)
        return -EINVAL;
    if (bulk->result != 0)
        return bulk->result;
    if (length == 0) {
        mux_client_pieces_remove(&bulk->pieces, piece);
        return 0;
    }
    int r = say(bulk, piece->offset, length);
    if (r != 0)
        return r;
    mux_client_pieces_shorten(&bulk->pieces, piece, length);
    piece->committed = true;
    r = flags & MUX_CLIENT_BULK_MORE ? 0 : mux_client_bulk_push(bulk);
    return r == MUX_CLIENT_AGAIN ? 0 : r;
}

// One attempt; 0 when the receiver has seen the end, and has nothing any more.
static int end(MuxClientBulk *bulk)
{
    int r = mux_client_bulk_push(bulk);

    if (r == 0 || r == MUX_CLIENT_AGAIN)
        r = collect(bulk);
    if (r == MUX_CLIENT_CLOSED)
        return bulk->ended && bulk->pieces.count == 0 ? 0 : closed(bulk);
    return r;
}

// What was reserved and not committed is not waited for.
static void drop_reserved(MuxClientPieces *pieces)
{
    for (unsigned i = pieces->count; i > 0; i--)
        if (!pieces->at[i - 1].committed)
            mux_client_pieces_remove(pieces, &pieces->at[i - 1]);
}

int mux_client_bulk_end(MuxClientBulk *bulk, int timeout_ms)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int r = bulk->result;

    if (!bulk->sender)
        return -EINVAL;
    bulk->ending = true;
    drop_reserved(&bulk->pieces);
    while (r == 0) {
        r = end(bulk);
        if (r != MUX_CLIENT_AGAIN)
            return r;
        r = mux_client_bulk_wait(bulk, deadline);
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}
