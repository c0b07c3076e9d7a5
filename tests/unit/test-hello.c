// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// hello.c: HELLO's 80 bytes, and how one is found in whatever comes before it.

#include <glib.h>
#include <string.h>

#include "golden.h"
#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/hello.h"

static const MuxHello guest = {
    .version_min = 1,
    .version_max = 1,
    .role = MUX_GUEST,
    .id = 0x1111,
    .echo = 0x2222,
    .features = 1,
    .channels = 16384,
    .pending = 1024,
};

static void assert_same(const MuxHello *a, const MuxHello *b)
{
    g_assert_cmpuint(a->version_min, ==, b->version_min);
    g_assert_cmpuint(a->version_max, ==, b->version_max);
    g_assert_cmpuint(a->role, ==, b->role);
    g_assert_cmphex(a->id, ==, b->id);
    g_assert_cmphex(a->echo, ==, b->echo);
    g_assert_cmphex(a->features, ==, b->features);
    g_assert_cmpuint(a->channels, ==, b->channels);
    g_assert_cmpuint(a->pending, ==, b->pending);
}

// Found, after `before` bytes of something else.
static void assert_found(const uint8_t *base, size_t size, size_t before, const MuxHello *hello)
{
    MuxHello found;
    size_t used = SIZE_MAX;
    g_assert_cmpint(mux_hello_find(base, size, &found, &used), ==, 0);
    g_assert_cmpuint(used, ==, before + MUX_HELLO_SIZE);
    assert_same(&found, hello);
}

// Not found; all but the last `kept` bytes are known to be garbage.
static void assert_none(const uint8_t *base, size_t size, size_t kept)
{
    MuxHello found = {.id = 42};
    size_t used = SIZE_MAX;
    g_assert_cmpint(mux_hello_find(base, size, &found, &used), ==, MUX_HELLO_NONE);
    g_assert_cmpuint(used, ==, size - kept);
    g_assert_cmpuint(found.id, ==, 42);
}

static void test_golden(void)
{
    uint8_t base[MUX_HELLO_SIZE];
    g_assert_cmpuint(sizeof(golden_hello), ==, 80);
    memset(base, 0xee, sizeof(base));
    mux_hello_encode(base, &guest);
    g_assert_cmpmem(base, sizeof(base), golden_hello, sizeof(golden_hello));
    assert_found(golden_hello, sizeof(golden_hello), 0, &guest);
}

static void test_extremes(void)
{
    const MuxHello most = {UINT16_MAX, UINT16_MAX, UINT8_MAX,  UINT64_MAX,
                           UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const MuxHello least = {.id = 1};
    const MuxHello distinct = {
        0x0102,     0x0304,     5,         0x060708090a0b0c0d, 0x0e0f101112131415,
        0x16171819, 0x1a1b1c1d, 0x1e1f2021};
    const MuxHello *all[] = {&most, &least, &distinct};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        uint8_t base[MUX_HELLO_SIZE];
        mux_hello_encode(base, all[i]);
        assert_found(base, sizeof(base), 0, all[i]);
    }
}

// An id of 0 stands for "none", so nobody has it.
static void test_no_id(void)
{
    uint8_t base[MUX_HELLO_SIZE];
    mux_hello_encode(base, &(MuxHello){.version_min = 1, .version_max = 1, .role = 1});
    assert_none(base, sizeof(base), 0);
}

static void test_truncated(void)
{
    for (size_t size = 0; size < MUX_HELLO_SIZE; size++)
        assert_none(golden_hello, size, size);
}

// Any bit that is wrong, and it is no HELLO. The bytes behind its first can still begin another.
static void test_flipped(void)
{
    for (size_t bit = 0; bit < MUX_HELLO_SIZE * 8; bit++) {
        uint8_t base[MUX_HELLO_SIZE];
        MuxHello found;
        size_t used;
        memcpy(base, golden_hello, sizeof(base));
        base[bit / 8] ^= (uint8_t)(1u << bit % 8);
        g_assert_cmpint(mux_hello_find(base, sizeof(base), &found, &used), ==, MUX_HELLO_NONE);
    }
}

typedef void (*Fill)(uint8_t *base, size_t n);

static void fill_zeros(uint8_t *base, size_t n)
{
    memset(base, 0, n);
}

static void fill_ones(uint8_t *base, size_t n)
{
    memset(base, 1, n); // HELLO's first byte, over and over
}

static void fill_random(uint8_t *base, size_t n)
{
    for (size_t i = 0; i < n; i++)
        base[i] = (uint8_t)g_test_rand_int();
}

static void fill_text(uint8_t *base, size_t n)
{
    static const char text[] = "guestmux login: \x1b[0m\r\n";
    for (size_t i = 0; i < n; i++)
        base[i] = (uint8_t)text[i % (sizeof(text) - 1)];
}

static void fill_prefixes(uint8_t *base, size_t n)
{
    for (size_t at = 0, length = 1; at < n; at += length, length = length % 79 + 1)
        memcpy(base + at, golden_hello, MIN(length, n - at));
}

static void fill_stale_frames(uint8_t *base, size_t n)
{
    for (size_t at = 0; at < n; at += sizeof(golden_data))
        memcpy(base + at, golden_data, MIN(sizeof(golden_data), n - at));
}

static const Fill fills[] = {fill_zeros, fill_ones,     fill_random,
                             fill_text,  fill_prefixes, fill_stale_frames};

static void test_garbage(void)
{
    uint8_t base[700 + MUX_HELLO_SIZE];
    for (size_t kind = 0; kind < G_N_ELEMENTS(fills); kind++) {
        for (size_t before = 0; before <= 700; before += before < 90 ? 1 : 61) {
            fills[kind](base, before);
            memcpy(base + before, golden_hello, MUX_HELLO_SIZE);
            assert_found(base, before + MUX_HELLO_SIZE, before, &guest);
        }
    }
}

// Given byte by byte, what is thrown away is never a part of the HELLO that comes.
static void test_garbage_bytewise(void)
{
    uint8_t base[300 + MUX_HELLO_SIZE];
    for (size_t kind = 0; kind < G_N_ELEMENTS(fills); kind++) {
        size_t start = 0;
        fills[kind](base, 300);
        memcpy(base + 300, golden_hello, MUX_HELLO_SIZE);
        for (size_t end = 1; end <= sizeof(base); end++) {
            MuxHello found;
            size_t used;
            int r = mux_hello_find(base + start, end - start, &found, &used);
            start += used;
            g_assert_cmpint(r, ==, end == sizeof(base) ? 0 : MUX_HELLO_NONE);
            g_assert_cmpuint(start, <=, r == 0 ? sizeof(base) : 300);
            g_assert_cmpuint(end - start, <, MUX_HELLO_SIZE);
        }
        g_assert_cmpuint(start, ==, sizeof(base));
    }
}

static void test_two(void)
{
    uint8_t base[2 * MUX_HELLO_SIZE];
    MuxHello other = guest;
    other.echo = 7;
    mux_hello_encode(base, &other);
    memcpy(base + MUX_HELLO_SIZE, golden_hello, MUX_HELLO_SIZE);
    assert_found(base, sizeof(base), 0, &other);
    assert_found(base + MUX_HELLO_SIZE, MUX_HELLO_SIZE, 0, &guest);
}

// HELLO stands outside the sequence and the key: it is a frame of key 0.
static void test_is_frame(void)
{
    MuxFrame frame;
    g_assert_cmpint(mux_frame_decode(golden_hello, 0, &frame), ==, 0);
    g_assert_cmpuint(frame.type, ==, MUX_FRAME_HELLO);
    g_assert_cmpuint(mux_frame_size(frame.length), ==, MUX_HELLO_SIZE);
    g_assert_true(mux_frame_guarded(golden_hello, frame.length));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hello/golden", test_golden);
    g_test_add_func("/hello/extremes", test_extremes);
    g_test_add_func("/hello/no-id", test_no_id);
    g_test_add_func("/hello/truncated", test_truncated);
    g_test_add_func("/hello/flipped", test_flipped);
    g_test_add_func("/hello/garbage", test_garbage);
    g_test_add_func("/hello/garbage-bytewise", test_garbage_bytewise);
    g_test_add_func("/hello/two", test_two);
    g_test_add_func("/hello/is-frame", test_is_frame);
    return g_test_run();
}
