// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames by hand, under the key that both ids make.

#include "forge.h"

#include <inttypes.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/limits.h"

static uint64_t id_of(MuxRole role)
{
    return role == MUX_GUEST ? GUEST_ID : HOST_ID;
}

void forge_up(Forge *forge, MuxRole role, const MuxLimits *limits, const MuxHello *peer)
{
    MuxRole other = role == MUX_GUEST ? MUX_HOST : MUX_GUEST;
    MuxHello hello = peer ? *peer
                          : (MuxHello){.version_min = 1,
                                       .version_max = 1,
                                       .features = MUX_FEATURES,
                                       .channels = MUX_CHANNELS_DEFAULT,
                                       .pending = MUX_PENDING_DEFAULT};
    uint8_t base[MUX_HELLO_SIZE];

    *forge = (Forge){.key = mux_frame_key(GUEST_ID, HOST_ID),
                     .sequence = 1,
                     .heard = 1,
                     .bytes = g_byte_array_new(),
                     .said = g_string_new(NULL)};
    end_init(&forge->end, role, limits);
    end_start(&forge->end, id_of(role));
    g_byte_array_unref(end_output(&forge->end));
    hello.role = (uint8_t)other;
    hello.id = id_of(other);
    hello.echo = id_of(role);
    mux_hello_encode(base, &hello);
    end_feed(&forge->end, base, sizeof(base));
    end_expect(&forge->end, "UP\n");
    g_byte_array_unref(end_output(&forge->end)); // the HELLO that answers
}

void forge_deinit(Forge *forge)
{
    end_deinit(&forge->end);
    g_byte_array_unref(forge->bytes);
    g_string_free(forge->said, TRUE);
}

void forge_release(Forge *forge)
{
    end_feed(&forge->end, forge->bytes->data, forge->bytes->len);
    g_byte_array_set_size(forge->bytes, 0);
    forge->held = false;
}

void forge_put(Forge *forge, MuxFrameType type, uint32_t channel, const void *payload,
               uint16_t length)
{
    g_autofree uint8_t *base = g_malloc(mux_frame_size(length));
    MuxFrame frame = {type, length, channel, forge->sequence++, forge->asks};

    if (length > 0)
        memcpy(base + MUX_HEADER_SIZE, payload, length);
    mux_frame_seal(base, &frame, forge->key);
    g_byte_array_append(forge->bytes, base, (guint)mux_frame_size(length));
    if (!forge->held)
        forge_release(forge);
}

void forge_empty(Forge *forge, MuxFrameType type, uint32_t channel)
{
    forge_put(forge, type, channel, NULL, 0);
}

void forge_number(Forge *forge, MuxFrameType type, uint32_t channel, uint64_t number)
{
    uint8_t payload[8];
    mux_put64(payload, number);
    forge_put(forge, type, channel, payload, sizeof(payload));
}

void forge_reset(Forge *forge, uint32_t channel, uint32_t code)
{
    uint8_t payload[4];
    mux_put32(payload, code);
    forge_put(forge, MUX_FRAME_RESET, channel, payload, sizeof(payload));
}

void forge_open(Forge *forge, uint32_t channel, uint64_t credit, const char *name)
{
    uint8_t payload[4096];
    uint16_t length = (uint16_t)strlen(name);
    mux_put64(payload, credit);
    mux_put32(payload + 8, nonce_of(channel));
    mux_put16(payload + 12, length);
    memcpy(payload + 14, name, length);
    forge_put(forge, MUX_FRAME_OPEN, channel, payload, (uint16_t)(14 + length));
}

void forge_accept(Forge *forge, uint32_t channel, uint64_t credit)
{
    uint8_t payload[12];
    mux_put64(payload, credit);
    mux_put32(payload + 8, nonce_of(channel));
    forge_put(forge, MUX_FRAME_ACCEPT, channel, payload, sizeof(payload));
}

void forge_reference(Forge *forge, uint32_t channel, const MuxReference *reference)
{
    uint8_t payload[MUX_REF_SIZE];
    mux_put32(payload, reference->epoch);
    mux_put32(payload + 4, reference->slot);
    mux_put32(payload + 8, reference->generation);
    mux_put32(payload + 12, reference->offset);
    mux_put32(payload + 16, reference->length);
    forge_put(forge, MUX_FRAME_REF, channel, payload, sizeof(payload));
}

void forge_give(Forge *forge, uint32_t epoch, uint32_t slot, uint32_t generation)
{
    uint8_t payload[MUX_GIVE_AT + MUX_GIVEN_SIZE];
    mux_put32(payload, epoch);
    mux_put32(payload + 4, slot);
    mux_put32(payload + 8, generation);
    forge_put(forge, MUX_FRAME_GIVE, 0, payload, sizeof(payload));
}

void forge_data(Forge *forge, uint32_t channel, size_t n)
{
    uint8_t payload[MUX_PAYLOAD_MAX];
    memset(payload, 'x', sizeof(payload));
    while (n > 0) {
        uint16_t part = (uint16_t)MIN(n, sizeof(payload));
        forge_put(forge, MUX_FRAME_DATA, channel, payload, part);
        n -= part;
    }
}

static void say_given(GString *said, const MuxFrame *frame, const uint8_t *payload)
{
    g_string_append_printf(said, " %x", mux_get32(payload));
    for (size_t at = MUX_GIVE_AT; at < frame->length; at += MUX_GIVEN_SIZE)
        g_string_append_printf(said, " %u.%u", mux_get32(payload + at),
                               mux_get32(payload + at + 4));
}

static void say_payload(GString *said, const MuxFrame *frame, const uint8_t *payload)
{
    if (frame->type == MUX_FRAME_DATA && frame->length <= 32)
        g_string_append_printf(said, " %.*s", (int)frame->length, (const char *)payload);
    else if (frame->type == MUX_FRAME_DATA)
        g_string_append_printf(said, " <%u>", frame->length);
    else if (frame->type == MUX_FRAME_RESET)
        g_string_append_printf(said, " %s", mux_code_name(mux_get32(payload)));
    else if (frame->type == MUX_FRAME_REF)
        g_string_append_printf(said, " %x/%u.%u+%u <%u>", mux_get32(payload),
                               mux_get32(payload + 4), mux_get32(payload + 8),
                               mux_get32(payload + 12), mux_get32(payload + 16));
    else if (frame->type == MUX_FRAME_GIVE)
        say_given(said, frame, payload);
    else if (frame->type == MUX_FRAME_NOTICE)
        g_string_append_printf(said, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                               mux_get64(payload), mux_get64(payload + 8), mux_get64(payload + 16),
                               mux_get64(payload + 24));
    else if (frame->length >= 8)
        g_string_append_printf(said, " %" G_GUINT64_FORMAT, mux_get64(payload));
    if (frame->type == MUX_FRAME_OPEN || frame->type == MUX_FRAME_ACCEPT)
        g_assert_cmphex(mux_get32(payload + 8), ==, nonce_of(frame->channel));
    if (frame->type == MUX_FRAME_OPEN)
        g_string_append_printf(said, " %.*s", (int)mux_get16(payload + 12),
                               (const char *)payload + 14);
    g_string_append_c(said, '\n');
}

// One frame, with everything about it checked; returns its size.
static size_t say_frame(Forge *forge, const uint8_t *base, size_t left)
{
    MuxFrame frame;

    g_assert_cmpuint(left, >=, MUX_HEADER_SIZE);
    g_assert_cmpint(mux_frame_decode(base, forge->key, &frame), ==, 0);
    g_assert_cmpuint(frame.sequence, ==, forge->heard++);
    g_assert_cmpuint(left, >=, mux_frame_size(frame.length));
    g_assert_true(mux_frame_guarded(base, frame.length));

    g_string_append(forge->said, mux_frame_kind(frame.type)->name);
    if (frame.channel)
        g_string_append_printf(forge->said, " %u", frame.channel);
    say_payload(forge->said, &frame, base + MUX_HEADER_SIZE);
    forge->asked += frame.ask;
    return mux_frame_size(frame.length);
}

unsigned forge_listen(Forge *forge)
{
    g_autoptr(GByteArray) all = end_output(&forge->end);
    unsigned frames = 0;
    for (size_t at = 0; at < all->len; frames++)
        at += say_frame(forge, all->data + at, all->len - at);
    return frames;
}
