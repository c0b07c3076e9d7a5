// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Which parts of a stretch of memory are in use. No two of them share a byte, and all are inside.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muxclient.h"

typedef struct MuxClientPiece {
    uint64_t offset;
    uint64_t length; // never 0
    bool committed;  // sender: the receiver has been told of it
} MuxClientPiece;

typedef struct MuxClientPieces {
    uint64_t size; // of the memory
    uint64_t from; // where room is looked for at first
    unsigned count;
    MuxClientPiece at[MUX_CLIENT_BULK_PIECES]; // sorted by offset
} MuxClientPieces;

// Adds one. Both numbers may be anything. False if it is empty, not inside, or has a byte in common
// with another; or there are too many.
bool mux_client_pieces_add(MuxClientPieces *pieces, uint64_t offset, uint64_t length);

// The one that begins there, or NULL; valid until one is added or removed.
MuxClientPiece *mux_client_pieces_find(MuxClientPieces *pieces, uint64_t offset);

void mux_client_pieces_remove(MuxClientPieces *pieces, MuxClientPiece *piece);

// Adds one where there is room, beginning at a multiple of MUX_CLIENT_BULK_ALIGN. False if there is
// none.
bool mux_client_pieces_reserve(MuxClientPieces *pieces, uint64_t length, uint64_t *ret_offset);

// The piece's end is not needed.
void mux_client_pieces_shorten(MuxClientPieces *pieces, MuxClientPiece *piece, uint64_t length);
