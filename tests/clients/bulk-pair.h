// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Both ends of a bulk stream, on a socket pair instead of a channel.
#pragma once

#include "fake-buffer.h"

typedef struct BulkPair {
    FakeBuffer fake;
    int channel[2]; // the sender's end, the receiver's
    MuxClientBuffer *buffer;
    MuxClientBulk *sender, *receiver;
} BulkPair;

// `size` bytes of the buffer from `offset` on; 0, 0: all of it.
void bulk_set_up(BulkPair *pair, uint64_t offset, uint64_t size);
void bulk_tear_down(BulkPair *pair);
// Closes one of the descriptors; harmless if that was done before.
void bulk_close_end(int *fd);

// Sends a piece that has `fill` in each byte.
void bulk_send_piece(BulkPair *pair, char fill, size_t length, unsigned flags);
// What comes next is such a piece.
const void *bulk_take_piece(BulkPair *pair, char fill, size_t length);
void bulk_release(BulkPair *pair, const void *memory);
// There is none to take now; returns why, as mux_client_bulk_take() does.
int bulk_take_none(BulkPair *pair);
