// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames: the 16-byte header, the 4-byte guard behind the payload, and the one table of types.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MuxFrameType {
    MUX_FRAME_HELLO = 1,
    MUX_FRAME_PING,
    MUX_FRAME_PONG,
    MUX_FRAME_ACK,
    MUX_FRAME_OPEN,
    MUX_FRAME_ACCEPT,
    MUX_FRAME_DATA,
    MUX_FRAME_FIN,
    MUX_FRAME_STOP,
    MUX_FRAME_RESET,
    MUX_FRAME_CREDIT,
    MUX_FRAME_RECLAIM,
    MUX_FRAME_RETURN,
    MUX_FRAME_REF, // from here on: with MUX_FEATURE_MEMORY
    MUX_FRAME_GIVE,
    MUX_FRAME_NOTICE,
    MUX_FRAME_TYPES,
} MuxFrameType;

// What a type's frames look like: its name, the payload's least and greatest length, and whether
// it belongs to a channel or to the session (channel 0).
typedef struct MuxFrameKind {
    const char *name;
    uint16_t min, max;
    bool of_channel;
} MuxFrameKind;

typedef struct MuxFrame {
    MuxFrameType type;
    uint16_t length; // of the payload, in bytes
    uint32_t channel;
    uint32_t sequence;
    bool ask; // for an ACK
} MuxFrame;

// OPEN and ACCEPT begin with u64 credit, u32 nonce, and that is all of ACCEPT. OPEN goes on with
// u16 length and the name.
#define MUX_NONCE_AT       8
#define MUX_ACCEPT_SIZE    12
#define MUX_NAME_LENGTH_AT 12
#define MUX_NAME_AT        14

// REF: five u32, as in MuxReference. GIVE: u32 epoch, then u32 slot and u32 generation for each.
// NOTICE: four u64, id, sequence, offset and length.
#define MUX_REF_SIZE    20
#define MUX_GIVE_AT     4
#define MUX_GIVEN_SIZE  8
#define MUX_NOTICE_SIZE 32

#define MUX_FRAME_BAD 1

// The kind of a type, or NULL for a number that is no type.
const MuxFrameKind *mux_frame_kind(unsigned type);

// Mixes both ends' session ids into the key with which a session's headers are checked.
uint64_t mux_frame_key(uint64_t guest_id, uint64_t host_id);

// One step of the mixing function that PROTOCOL.md calls mix(); also used for HELLO's checksum.
uint64_t mux_frame_mix(uint64_t x);

// Writes the header to base[0..15] and the guard behind a payload of frame->length bytes, which the
// caller has put, or will put, at base + 16.
void mux_frame_seal(uint8_t *base, const MuxFrame *frame, uint64_t key);

// Reads a header. Returns 0, or MUX_FRAME_BAD when this is no header of this key, an unknown type,
// a length that the type does not allow, or a channel where there must be none (or the reverse).
int mux_frame_decode(const uint8_t *header, uint64_t key, MuxFrame *ret_frame);

// Whether the guard behind the payload is in its place; `base` has the whole frame.
bool mux_frame_guarded(const uint8_t *base, uint16_t length);

// Header, payload and guard together.
size_t mux_frame_size(uint16_t length);
