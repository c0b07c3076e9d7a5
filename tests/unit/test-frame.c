// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// frame.c: the bytes of each type, and everything that is not a frame.

#include <glib.h>
#include <string.h>

#include "golden.h"
#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/limits.h"

#define KEY mux_frame_key(0x1111, 0x2222)

static void test_constants(void)
{
    g_assert_cmpuint(MUX_FRAME_MAX, ==, 32768);
    g_assert_cmpuint(MUX_HEADER_SIZE, ==, 16);
    g_assert_cmpuint(MUX_PAYLOAD_MAX, ==, 32748);
    g_assert_cmpuint(mux_frame_size(0), ==, 20);
    g_assert_cmpuint(mux_frame_size(MUX_PAYLOAD_MAX), ==, MUX_FRAME_MAX);
    g_assert_cmpuint(mux_frame_size(65535), ==, 65555);
}

// Against values that were computed elsewhere.
static void test_mix(void)
{
    g_assert_cmphex(mux_frame_mix(0), ==, 0);
    g_assert_cmphex(mux_frame_mix(1), ==, 0xd6e8feb8b0b1032b);
    g_assert_cmphex(mux_frame_mix(UINT64_MAX), ==, 0x99a6026d99a6026d);
    g_assert_cmphex(mux_frame_key(0x1111, 0x2222), ==, 0xbe63290a7bb3d2eb);
    g_assert_cmphex(mux_frame_key(0x2222, 0x1111), !=, mux_frame_key(0x1111, 0x2222));
}

static void test_golden(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        const Golden *golden = &golden_frames[i];
        size_t size = mux_frame_size(golden->length);
        MuxFrame frame = {golden->type, golden->length, golden->channel, golden->sequence,
                          golden->ask};
        uint8_t base[128];

        memcpy(base + MUX_HEADER_SIZE, golden->bytes + MUX_HEADER_SIZE, golden->length);
        mux_frame_seal(base, &frame, KEY);
        g_assert_cmpmem(base, size, golden->bytes, size);

        memset(&frame, 0xff, sizeof(frame));
        g_assert_cmpint(mux_frame_decode(golden->bytes, KEY, &frame), ==, 0);
        g_assert_cmpuint(frame.type, ==, golden->type);
        g_assert_cmpuint(frame.length, ==, golden->length);
        g_assert_cmpuint(frame.channel, ==, golden->channel);
        g_assert_cmpuint(frame.sequence, ==, golden->sequence);
        g_assert_true(frame.ask == golden->ask);
        g_assert_true(mux_frame_guarded(golden->bytes, golden->length));
    }
}

// The table of types once more, as PROTOCOL.md has it.
static const struct {
    const char *name;
    unsigned min, max;
    bool of_channel;
} kinds[] = {
    {NULL, 0, 0, false},       {"HELLO", 60, 60, false},  {"PING", 8, 8, false},
    {"PONG", 8, 8, false},     {"ACK", 8, 8, false},      {"OPEN", 15, 4096, true},
    {"ACCEPT", 12, 12, true},  {"DATA", 1, 32748, true},  {"FIN", 0, 0, true},
    {"STOP", 0, 0, true},      {"RESET", 4, 4, true},     {"CREDIT", 8, 8, true},
    {"RECLAIM", 0, 0, true},   {"RETURN", 8, 8, true},    {"REF", 20, 20, true},
    {"GIVE", 12, 4100, false}, {"NOTICE", 32, 32, false},
};

static void test_kinds(void)
{
    g_assert_cmpuint(G_N_ELEMENTS(kinds), ==, MUX_FRAME_TYPES);
    for (unsigned type = 1; type < MUX_FRAME_TYPES; type++) {
        const MuxFrameKind *kind = mux_frame_kind(type);
        g_assert_cmpstr(kind->name, ==, kinds[type].name);
        g_assert_cmpuint(kind->min, ==, kinds[type].min);
        g_assert_cmpuint(kind->max, ==, kinds[type].max);
        g_assert_true(kind->of_channel == kinds[type].of_channel);
    }
    g_assert_null(mux_frame_kind(0));
    g_assert_null(mux_frame_kind(MUX_FRAME_TYPES));
    g_assert_null(mux_frame_kind(255));
    g_assert_null(mux_frame_kind(UINT_MAX));
}

// A header by hand, since mux_frame_seal() writes no bad one. Returns what decoding it gives.
static int decode(unsigned type, uint8_t flags, unsigned length, uint32_t channel)
{
    uint8_t header[MUX_HEADER_SIZE] = {(uint8_t)type, flags};
    mux_put16(header + 2, (uint16_t)length);
    mux_put32(header + 4, channel);
    mux_put32(header + 8, 77);
    uint64_t x = mux_frame_mix(mux_get64(header) ^ KEY);
    mux_put32(header + 12, (uint32_t)mux_frame_mix(x + 77));

    MuxFrame frame = {.length = 0xabcd};
    int r = mux_frame_decode(header, KEY, &frame);
    g_assert_cmpuint(frame.length, ==, r == 0 ? length : 0xabcd);
    return r;
}

static void test_lengths(void)
{
    for (unsigned type = 1; type < MUX_FRAME_TYPES; type++) {
        unsigned min = kinds[type].min, max = kinds[type].max;
        uint32_t channel = kinds[type].of_channel ? 9 : 0;
        const unsigned lengths[] = {0,   1,       2,     min - 1, min,   min + 1, max - 1,
                                    max, max + 1, 32748, 32749,   32768, 65535};
        for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
            unsigned length = lengths[i] & 0xffff;
            int expected = length >= min && length <= max ? 0 : MUX_FRAME_BAD;
            g_assert_cmpint(decode(type, 0, length, channel), ==, expected);
        }
    }
}

static void test_all_lengths_of_data(void)
{
    for (unsigned length = 0; length <= 65535; length++)
        g_assert_cmpint(decode(MUX_FRAME_DATA, 0, length, 1), ==,
                        length >= 1 && length <= MUX_PAYLOAD_MAX ? 0 : MUX_FRAME_BAD);
}

static void test_unknown_types(void)
{
    for (unsigned type = 0; type < 256; type++) {
        bool known = type >= 1 && type < MUX_FRAME_TYPES;
        unsigned length = known ? kinds[type].min : 8;
        uint32_t channel = known && kinds[type].of_channel;
        g_assert_cmpint(decode(type, 0, length, channel), ==, known ? 0 : MUX_FRAME_BAD);
    }
}

static void test_flags(void)
{
    for (unsigned type = 1; type < MUX_FRAME_TYPES; type++)
        for (unsigned flags = 0; flags < 256; flags++)
            g_assert_cmpint(decode(type, (uint8_t)flags, kinds[type].min, kinds[type].of_channel),
                            ==, flags <= 1 ? 0 : MUX_FRAME_BAD);
}

static void test_channel_zero(void)
{
    static const uint32_t ids[] = {0, 1, 2, 0x80000000, UINT32_MAX};
    for (unsigned type = 1; type < MUX_FRAME_TYPES; type++)
        for (size_t i = 0; i < G_N_ELEMENTS(ids); i++)
            g_assert_cmpint(decode(type, 0, kinds[type].min, ids[i]), ==,
                            (ids[i] != 0) == kinds[type].of_channel ? 0 : MUX_FRAME_BAD);
}

static void test_other_key(void)
{
    MuxFrame frame;
    const uint64_t others[] = {0, mux_frame_key(0x2222, 0x1111), mux_frame_key(0x1111, 0x2223),
                               mux_frame_key(0x1110, 0x2222)};
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(others); k++)
            g_assert_cmpint(mux_frame_decode(golden_frames[i].bytes, others[k], &frame), ==,
                            MUX_FRAME_BAD);
        for (unsigned bit = 0; bit < 64; bit++)
            g_assert_cmpint(mux_frame_decode(golden_frames[i].bytes, KEY ^ 1ull << bit, &frame), ==,
                            MUX_FRAME_BAD);
    }
}

// The guard is no longer the guard when a payload lost a part, or got one.
static void test_guard(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        const Golden *golden = &golden_frames[i];
        size_t size = mux_frame_size(golden->length);
        uint8_t base[256];
        for (size_t cut = 1; cut <= golden->length; cut++) {
            memset(base, 0x55, sizeof(base));
            memcpy(base, golden->bytes, MUX_HEADER_SIZE);
            memcpy(base + MUX_HEADER_SIZE, golden->bytes + MUX_HEADER_SIZE + cut,
                   size - MUX_HEADER_SIZE - cut);
            g_assert_false(mux_frame_guarded(base, golden->length));
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            memcpy(base, golden->bytes, size);
            base[size - 4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
            g_assert_false(mux_frame_guarded(base, golden->length));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame/constants", test_constants);
    g_test_add_func("/frame/mix", test_mix);
    g_test_add_func("/frame/golden", test_golden);
    g_test_add_func("/frame/kinds", test_kinds);
    g_test_add_func("/frame/lengths", test_lengths);
    g_test_add_func("/frame/all-lengths-of-data", test_all_lengths_of_data);
    g_test_add_func("/frame/unknown-types", test_unknown_types);
    g_test_add_func("/frame/flags", test_flags);
    g_test_add_func("/frame/channel-zero", test_channel_zero);
    g_test_add_func("/frame/other-key", test_other_key);
    g_test_add_func("/frame/guard", test_guard);
    return g_test_run();
}
