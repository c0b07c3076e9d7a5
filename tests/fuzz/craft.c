// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "craft.h"

#include <string.h>

#include "proto/bytes.h"

static void begin(Craft *craft)
{
    craft->sequence = 1;
    memset(craft->generations, 0, sizeof(craft->generations));
}

size_t craft_hello(Craft *craft)
{
    mux_hello_encode(craft->bytes, &(MuxHello){.version_min = MUX_VERSION_MIN,
                                               .version_max = MUX_VERSION_MAX,
                                               .role = (uint8_t)craft->role,
                                               .id = craft->id,
                                               .echo = craft->peer_id,
                                               .features = MUX_FEATURES,
                                               .channels = 16,
                                               .pending = 8});
    begin(craft);
    return MUX_HELLO_SIZE;
}

size_t craft_odd_hello(Craft *craft, Source *source)
{
    MuxHello hello = {.version_min = (uint16_t)source_number(source),
                      .version_max = (uint16_t)source_number(source),
                      .role = source_8(source) % 4,
                      .id = source_8(source) % 2 ? craft->id : source_number(source),
                      .echo = source_8(source) % 2 ? craft->peer_id : source_number(source),
                      .features = source_32(source),
                      .channels = (uint32_t)source_number(source),
                      .pending = (uint32_t)source_number(source)};

    mux_hello_encode(craft->bytes, &hello);
    uint8_t spoil = source_8(source);
    if (spoil < 16)
        craft->bytes[source_8(source) % MUX_HELLO_SIZE] ^= (uint8_t)(1u << spoil % 8);
    if (hello.id)
        craft->id = hello.id;
    begin(craft);
    return MUX_HELLO_SIZE;
}

// A caller, whole or not.
static uint16_t put_attributes(uint8_t *p, Source *source)
{
    uint8_t what = source_8(source);
    uint16_t length = (uint16_t)(what % 8 == 1 ? source_number(source) : what % 48);

    if (what % 2 == 0)
        return 0;
    mux_put16(p, what % 4 == 1 ? 1 : what);
    mux_put16(p + 2, length);
    memset(p + 4, what, 48);
    return (uint16_t)(4 + what % 48);
}

static uint16_t put_open(uint8_t *p, Source *source)
{
    const uint8_t *name = (const uint8_t *)"service:argument";
    uint16_t length = 16;

    if (source_8(source) % 4 == 0)
        length = (uint16_t)source_bytes(source, source_16(source) % 1500, &name);
    mux_put64(p, source_number(source));
    mux_put32(p + 8, source_8(source));
    mux_put16(p + 12, source_8(source) % 8 ? length : (uint16_t)source_number(source));
    memcpy(p + 14, name, length);
    return (uint16_t)(14 + length + put_attributes(p + 14 + length, source));
}

// Mostly with the nonce that opens the channel.
static uint16_t put_accept(uint8_t *p, Source *source)
{
    mux_put64(p, source_number(source));
    mux_put32(p + 8, source_8(source) % 16 ? OWNER_NONCE : source_32(source));
    return 12;
}

static uint16_t put_bytes(uint8_t *p, Source *source)
{
    size_t n = source_8(source) < 200 ? source_8(source) : source_16(source) % MUX_PAYLOAD_MAX;
    memset(p, 'd', n);
    return (uint16_t)(n ? n : 1);
}

// Into the region that the owner has, mostly, and as its next generation.
static uint16_t put_reference(Craft *craft, uint8_t *p, Source *source)
{
    uint8_t odd = source_8(source);
    uint32_t slot = source_8(source) % OWNER_SLOTS;

    mux_put32(p, odd == 1 ? source_32(source) : OWNER_EPOCH);
    mux_put32(p + 4, odd == 2 ? (uint32_t)source_number(source) : slot);
    mux_put32(p + 8, odd == 3 ? source_32(source) : ++craft->generations[slot]);
    mux_put32(p + 12, odd == 4 ? (uint32_t)source_number(source) : source_8(source) % 16);
    mux_put32(p + 16, odd == 5 ? (uint32_t)source_number(source) : source_8(source) % 80);
    return MUX_REF_SIZE;
}

// One that was lent at some time, mostly; or one that there is not.
static uint32_t lent_slot(const Craft *craft, Source *source)
{
    uint32_t first = source_8(source) % 16;

    for (uint32_t i = 0; first < OWNER_SLOTS && i < OWNER_SLOTS; i++)
        if (craft->lent[(first + i) % OWNER_SLOTS] > 0)
            return (first + i) % OWNER_SLOTS;
    return first;
}

static uint16_t put_give(const Craft *craft, uint8_t *p, Source *source)
{
    unsigned n = 1 + source_8(source) % 3;
    uint16_t length = (uint16_t)(MUX_GIVE_AT + n * MUX_GIVEN_SIZE);

    mux_put32(p, source_8(source) % 16 ? OWNER_EPOCH : source_32(source));
    for (uint16_t at = MUX_GIVE_AT; at < length; at += MUX_GIVEN_SIZE) {
        uint32_t slot = lent_slot(craft, source);
        mux_put32(p + at, slot);
        mux_put32(p + at + 4, craft->lent[slot % OWNER_SLOTS] + (source_8(source) % 16 == 1));
    }
    return source_8(source) % 16 ? length : (uint16_t)(length + source_8(source) % 8);
}

static uint16_t put_payload(Craft *craft, uint8_t *p, MuxFrameType type, Source *source)
{
    switch (type) {
    case MUX_FRAME_PING:
    case MUX_FRAME_PONG:
    case MUX_FRAME_ACK:
    case MUX_FRAME_CREDIT:
    case MUX_FRAME_RETURN:
        mux_put64(p, source_number(source));
        return 8;
    case MUX_FRAME_OPEN:
        return put_open(p, source);
    case MUX_FRAME_ACCEPT:
        return put_accept(p, source);
    case MUX_FRAME_DATA:
        return put_bytes(p, source);
    case MUX_FRAME_RESET:
        mux_put32(p, source_32(source));
        return 4;
    case MUX_FRAME_FIN:
    case MUX_FRAME_STOP:
    case MUX_FRAME_RECLAIM:
        return 0;
    case MUX_FRAME_REF:
        return put_reference(craft, p, source);
    case MUX_FRAME_GIVE:
        return put_give(craft, p, source);
    case MUX_FRAME_NOTICE:
        for (unsigned i = 0; i < 4; i++)
            mux_put64(p + 8u * i, source_number(source));
        return MUX_NOTICE_SIZE;
    case MUX_FRAME_HELLO:
    case MUX_FRAME_TYPES:
        break;
    }
    return 60;
}

size_t craft_frame(Craft *craft, Source *source)
{
    bool guest = craft->role == MUX_GUEST;
    uint64_t key =
        mux_frame_key(guest ? craft->id : craft->peer_id, guest ? craft->peer_id : craft->id);
    MuxFrame frame = {.type = (MuxFrameType)(source_8(source) % (MUX_FRAME_TYPES + 1)),
                      .sequence = craft->sequence++};

    memset(craft->bytes, 0, 2048);
    frame.length = put_payload(craft, craft->bytes + MUX_HEADER_SIZE, frame.type, source);
    const MuxFrameKind *kind = mux_frame_kind(frame.type);
    if (kind && kind->of_channel)
        frame.channel = 1 + source_8(source) % 24;
    uint8_t odd = source_8(source);
    frame.ask = odd >= 128;
    if (odd == 1)
        frame.channel = (uint32_t)source_number(source);
    else if (odd == 2)
        frame.length = (uint16_t)source_number(source);
    else if (odd == 3)
        frame.sequence = source_32(source);
    mux_frame_seal(craft->bytes, &frame, key);
    size_t size = mux_frame_size(frame.length);
    if (odd == 4)
        craft->bytes[size - 1] ^= 1;
    return size;
}
