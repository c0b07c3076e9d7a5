// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A sorted array: what is asked most is whether a piece touches its neighbours, and where the next
// gap is. Room is looked for behind the last piece that was given out, and from the beginning when
// that is in vain; so memory is used in a circle as long as pieces come back in order, and a piece
// that comes back late holds nothing but itself.

#include "pieces.h"

#include <string.h>

// The first piece that begins at `offset` or behind it.
static unsigned position(const MuxClientPieces *pieces, uint64_t offset)
{
    unsigned low = 0, high = pieces->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (pieces->at[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_free(const MuxClientPieces *pieces, unsigned i, uint64_t offset, uint64_t length)
{
    const MuxClientPiece *before = i > 0 ? &pieces->at[i - 1] : NULL;
    const MuxClientPiece *behind = i < pieces->count ? &pieces->at[i] : NULL;

    return (!before || before->length <= offset - before->offset) &&
           (!behind || length <= behind->offset - offset);
}

bool mux_client_pieces_add(MuxClientPieces *pieces, uint64_t offset, uint64_t length)
{
    unsigned i = position(pieces, offset);

    if (length == 0 || offset > pieces->size || length > pieces->size - offset)
        return false;
    if (pieces->count == MUX_CLIENT_BULK_PIECES || !is_free(pieces, i, offset, length))
        return false;
    memmove(&pieces->at[i + 1], &pieces->at[i], (pieces->count - i) * sizeof(pieces->at[0]));
    pieces->at[i] = (MuxClientPiece){.offset = offset, .length = length};
    pieces->count++;
    return true;
}

MuxClientPiece *mux_client_pieces_find(MuxClientPieces *pieces, uint64_t offset)
{
    unsigned i = position(pieces, offset);

    return i < pieces->count && pieces->at[i].offset == offset ? &pieces->at[i] : NULL;
}

void mux_client_pieces_remove(MuxClientPieces *pieces, MuxClientPiece *piece)
{
    size_t i = (size_t)(piece - pieces->at);

    memmove(piece, piece + 1, (pieces->count - i - 1) * sizeof(*piece));
    pieces->count--;
}

static uint64_t align(uint64_t offset)
{
    return (offset + MUX_CLIENT_BULK_ALIGN - 1) & ~(uint64_t)(MUX_CLIENT_BULK_ALIGN - 1);
}

// The first gap of that length at `from` or behind it, which is aligned.
static bool find_gap(const MuxClientPieces *pieces, uint64_t from, uint64_t length, uint64_t *ret)
{
    unsigned i = position(pieces, from);

    if (i > 0 && pieces->at[i - 1].length > from - pieces->at[i - 1].offset)
        from = align(pieces->at[i - 1].offset + pieces->at[i - 1].length);
    for (; i < pieces->count; i++) {
        const MuxClientPiece *piece = &pieces->at[i];
        if (from <= piece->offset && length <= piece->offset - from)
            break;
        from = align(piece->offset + piece->length);
    }
    *ret = from;
    return from <= pieces->size && length <= pieces->size - from;
}

bool mux_client_pieces_reserve(MuxClientPieces *pieces, uint64_t length, uint64_t *ret_offset)
{
    uint64_t offset;

    if (!find_gap(pieces, pieces->from, length, &offset) && !find_gap(pieces, 0, length, &offset))
        return false;
    if (!mux_client_pieces_add(pieces, offset, length))
        return false;
    pieces->from = align(offset + length);
    *ret_offset = offset;
    return true;
}

void mux_client_pieces_shorten(MuxClientPieces *pieces, MuxClientPiece *piece, uint64_t length)
{
    if (pieces->from == align(piece->offset + piece->length))
        pieces->from = align(piece->offset + length);
    piece->length = length;
}
