// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The batch of frames that the next write on the port carries, and the bytes in flight behind it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

// What had been sent when the peer was asked for an ACK. With more of them, the newest stands for
// those before it.
#define MUX_ASKS 4
typedef struct MuxAsk {
    uint64_t sent, beside;
} MuxAsk;

typedef struct MuxOutput {
    uint8_t *bytes; // MUX_FRAME_MAX of them
    size_t start, end;
    uint64_t key;
    uint32_t sequence;             // of the next frame
    uint64_t sent;                 // bytes of all frames of this session that were put into a batch
    uint64_t acked;                // of those, read by the peer
    uint64_t beside, beside_acked; // the same, of what came beside frames
    uint64_t most;                 // that may be in flight
    uint64_t asked;                // sent + beside, when an ACK was last asked for
    MuxAsk asks[MUX_ASKS];         // that were not answered, oldest first
    unsigned n_asks;
} MuxOutput;

// 0 or -ENOMEM.
int mux_output_init(MuxOutput *output);
void mux_output_deinit(MuxOutput *output);
// Throws away what was not written, and puts the zeros into the batch that go before a first HELLO:
// as many as a frame has at most, so that a peer that is in the middle of a frame comes to its end.
void mux_output_restart(MuxOutput *output);
// A session begins: its frames carry this key and are counted from here.
void mux_output_begin(MuxOutput *output, uint64_t key);

// Room for a payload in the batch; 0 when it must be written first. A batch of which a part was
// written takes nothing more, so that what waits in it is bounded by one write.
size_t mux_output_room(const MuxOutput *output);
// Where the next frame's payload goes: data is read straight into the batch.
uint8_t *mux_output_payload(MuxOutput *output);
// Closes a frame around the `length` bytes that are there. The caller has seen that there is room.
void mux_output_frame(MuxOutput *output, MuxFrameType type, uint32_t channel, uint16_t length);
// `n` more bytes come with the next frame, by another way: they are in flight as well, until the
// peer has read that frame.
void mux_output_beside(MuxOutput *output, uint64_t n);
// Puts in a whole HELLO; false when there is no room.
bool mux_output_hello(MuxOutput *output, const uint8_t *hello);

// The bytes to write.
size_t mux_output_pending(const MuxOutput *output, const uint8_t **ret_base);
void mux_output_written(MuxOutput *output, size_t n);

// The peer has read this much of the session's bytes. False when that cannot be.
bool mux_output_acked(MuxOutput *output, uint64_t untrusted_bytes);
// No more than this shall be in flight from now on. For each half of it an ACK is asked for; so
// when all are answered, less than that half is in flight, and nobody waits for ever.
void mux_output_limit(MuxOutput *output, uint64_t most);

// Bytes that the peer has not acknowledged.
static inline uint64_t mux_output_in_flight(const MuxOutput *output)
{
    return output->sent - output->acked + output->beside - output->beside_acked;
}

// So much is in flight: data has to wait.
static inline bool mux_output_full(const MuxOutput *output)
{
    return mux_output_in_flight(output) >= output->most;
}
