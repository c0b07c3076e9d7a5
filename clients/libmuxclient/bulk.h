// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A bulk stream's ends, and what they say to each other on the channel. All numbers have their
// lowest byte first; offsets count from the beginning of the stretch.
//
// The sender says once:       "muxbulk1", u64 the buffer's id, u64 offset and u64 size of the
//                             stretch of it that is used, u32 length of its name, the name
// and for each piece:         u64 offset, u64 length
// The receiver, for each that it gives back, in any order: the same two numbers.
//
// A piece may share no byte with another that was not given back, and has at least one; there are
// at most MUX_CLIENT_BULK_PIECES. The sender ends by closing its direction, the receiver closes the
// other one when it has given back all: so both know that all was seen.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "dial.h"
#include "muxclient.h"
#include "pieces.h"

#define MUX_CLIENT_BULK_MAGIC   "muxbulk1"
#define MUX_CLIENT_BULK_HELLO   36  // bytes of it before the name
#define MUX_CLIENT_BULK_NAME    128 // bytes, at most
#define MUX_CLIENT_BULK_MESSAGE 16  // bytes

#define MUX_CLIENT_BULK_NONSENSE "what the sender says makes no sense"

// What waits to be sent: all pieces that there can be. A peer who does not read what he is told of
// his pieces gets no more of them.
#define MUX_CLIENT_BULK_UNSENT                                                                     \
    (MUX_CLIENT_BULK_PIECES * MUX_CLIENT_BULK_MESSAGE + MUX_CLIENT_BULK_HELLO +                    \
     MUX_CLIENT_BULK_NAME)

struct MuxClientBulk {
    int channel; // lent
    bool sender;
    MuxClientBuffer *buffer; // the sender's is lent, the receiver's is ours
    unsigned char *base;     // the stretch
    MuxClientPieces pieces;
    bool ending; // no more follows: from us, or, for a receiver, from the sender
    bool ended;  // our direction is closed
    int result;  // of all calls from now on, or 0

    unsigned char unsent[MUX_CLIENT_BULK_UNSENT];
    size_t unsent_from, unsent_length;

    // What is being read: a hello or a message.
    unsigned char read[MUX_CLIENT_BULK_HELLO + MUX_CLIENT_BULK_NAME];
    size_t read_length;

    char *socket, *link; // receiver: where the buffer is; or NULL
    char reason[512];
};

int mux_client_bulk_new(int channel, bool sender, MuxClientBulk **ret_bulk);

// Puts bytes among those that are to be sent. False if there is no room.
bool mux_client_bulk_put(MuxClientBulk *bulk, const void *bytes, size_t size);
bool mux_client_bulk_put_piece(MuxClientBulk *bulk, uint64_t offset, uint64_t length);

// Whether a receiver takes no more pieces: he could not say that he gives them back.
bool mux_client_bulk_is_full(const MuxClientBulk *bulk);

// Sends what the channel takes, and the end behind it: a sender's when he wants to, a receiver's
// when the sender has ended and has everything back. 0 when all is gone; AGAIN, CLOSED, or a
// negative errno.
int mux_client_bulk_push(MuxClientBulk *bulk);

// Reads up to `size` bytes in all to `read`. 0 when they are there; AGAIN, CLOSED or a negative
// errno.
int mux_client_bulk_read(MuxClientBulk *bulk, size_t size);

// Reads a message. Results as above.
int mux_client_bulk_read_piece(MuxClientBulk *bulk, uint64_t *ret_offset, uint64_t *ret_length);

// Receiver: reads the hello, up to its end, and opens the buffer. 0; AGAIN, CLOSED, TIMEOUT, or
// what came of opening it.
int mux_client_bulk_begin(MuxClientBulk *bulk);

// Waits until there may be something to do after AGAIN. 0, TIMEOUT, or a negative errno.
int mux_client_bulk_wait(MuxClientBulk *bulk, MuxClientDeadline deadline);

// From now on the result is always this one, which is returned.
int mux_client_bulk_fail(MuxClientBulk *bulk, int result, const char *reason);
