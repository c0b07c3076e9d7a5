// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A header carries a check over its first twelve bytes, keyed by the session: garbage, or a frame
// of another session, is known before its length is believed. The guard is the check's complement.
// It stands behind the payload, because a payload can lose its end (a truncated write, a chardev
// that was reconnected in the middle): then what follows is not the guard, and nothing is
// delivered.

#include "frame.h"

#include "bytes.h"
#include "limits.h"

#define SESSION false
#define CHANNEL true

#define FLAG_ASK 1u

static const MuxFrameKind kinds[MUX_FRAME_TYPES] = {
    [MUX_FRAME_HELLO] = {"HELLO", 60, 60, SESSION},
    [MUX_FRAME_PING] = {"PING", 8, 8, SESSION},
    [MUX_FRAME_PONG] = {"PONG", 8, 8, SESSION},
    [MUX_FRAME_ACK] = {"ACK", 8, 8, SESSION},
    [MUX_FRAME_OPEN] = {"OPEN", MUX_NAME_AT + 1, 4096, CHANNEL},
    [MUX_FRAME_ACCEPT] = {"ACCEPT", MUX_ACCEPT_SIZE, MUX_ACCEPT_SIZE, CHANNEL},
    [MUX_FRAME_DATA] = {"DATA", 1, MUX_PAYLOAD_MAX, CHANNEL},
    [MUX_FRAME_FIN] = {"FIN", 0, 0, CHANNEL},
    [MUX_FRAME_STOP] = {"STOP", 0, 0, CHANNEL},
    [MUX_FRAME_RESET] = {"RESET", 4, 4, CHANNEL},
    [MUX_FRAME_CREDIT] = {"CREDIT", 8, 8, CHANNEL},
    [MUX_FRAME_RECLAIM] = {"RECLAIM", 0, 0, CHANNEL},
    [MUX_FRAME_RETURN] = {"RETURN", 8, 8, CHANNEL},
    [MUX_FRAME_REF] = {"REF", MUX_REF_SIZE, MUX_REF_SIZE, CHANNEL},
    [MUX_FRAME_GIVE] = {"GIVE", MUX_GIVE_AT + MUX_GIVEN_SIZE,
                        MUX_GIVE_AT + MUX_GIVE_MAX *MUX_GIVEN_SIZE, SESSION},
    [MUX_FRAME_NOTICE] = {"NOTICE", MUX_NOTICE_SIZE, MUX_NOTICE_SIZE, SESSION},
};

const MuxFrameKind *mux_frame_kind(unsigned type)
{
    return type < MUX_FRAME_TYPES && kinds[type].name ? &kinds[type] : NULL;
}

uint64_t mux_frame_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t mux_frame_key(uint64_t guest_id, uint64_t host_id)
{
    return mux_frame_mix(guest_id) + host_id;
}

static uint32_t header_check(const uint8_t *header, uint64_t key)
{
    uint64_t x = mux_frame_mix(mux_get64(header) ^ key);
    return (uint32_t)mux_frame_mix(x + mux_get32(header + 8));
}

size_t mux_frame_size(uint16_t length)
{
    return (size_t)MUX_HEADER_SIZE + length + MUX_GUARD_SIZE;
}

void mux_frame_seal(uint8_t *base, const MuxFrame *frame, uint64_t key)
{
    base[0] = (uint8_t)frame->type;
    base[1] = frame->ask ? FLAG_ASK : 0;
    mux_put16(base + 2, frame->length);
    mux_put32(base + 4, frame->channel);
    mux_put32(base + 8, frame->sequence);

    uint32_t check = header_check(base, key);
    mux_put32(base + 12, check);
    mux_put32(base + MUX_HEADER_SIZE + frame->length, ~check);
}

int mux_frame_decode(const uint8_t *header, uint64_t key, MuxFrame *ret_frame)
{
    if (mux_get32(header + 12) != header_check(header, key) || header[1] & ~FLAG_ASK)
        return MUX_FRAME_BAD;

    const MuxFrameKind *kind = mux_frame_kind(header[0]);
    uint16_t untrusted_length = mux_get16(header + 2);
    uint32_t channel = mux_get32(header + 4);
    if (!kind || untrusted_length < kind->min || untrusted_length > kind->max ||
        (channel != 0) != kind->of_channel)
        return MUX_FRAME_BAD;

    *ret_frame = (MuxFrame){
        .type = header[0],
        .length = untrusted_length,
        .channel = channel,
        .sequence = mux_get32(header + 8),
        .ask = header[1] & FLAG_ASK,
    };
    return 0;
}

bool mux_frame_guarded(const uint8_t *base, uint16_t length)
{
    return mux_get32(base + MUX_HEADER_SIZE + length) == ~mux_get32(base + 12);
}
