// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// input.c: frames out of a stream of bytes; what is not whole, and what is not right.

#include <glib.h>
#include <string.h>

#include "golden.h"
#include "proto/input.h"
#include "proto/limits.h"

#define KEY mux_frame_key(0x1111, 0x2222)

static void put(MuxInput *input, const void *bytes, size_t n)
{
    uint8_t *base;
    g_assert_cmpuint(mux_input_space(input, &base), >=, n);
    memcpy(base, bytes, n);
    mux_input_filled(input, n);
}

static int take(MuxInput *input, uint32_t sequence)
{
    MuxFrame frame;
    const uint8_t *payload;
    return mux_input_frame(input, KEY, sequence, &frame, &payload);
}

static void assert_takes(MuxInput *input, const Golden *golden)
{
    MuxFrame frame;
    const uint8_t *payload;
    g_assert_cmpint(mux_input_frame(input, KEY, golden->sequence, &frame, &payload), ==, 0);
    g_assert_cmpuint(frame.type, ==, golden->type);
    g_assert_cmpuint(frame.channel, ==, golden->channel);
    g_assert_cmpuint(frame.sequence, ==, golden->sequence);
    g_assert_cmpmem(payload, frame.length, golden->bytes + MUX_HEADER_SIZE, golden->length);
}

static void test_truncations(void)
{
    MuxInput input;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        const Golden *golden = &golden_frames[i];
        size_t size = mux_frame_size(golden->length);
        for (size_t n = 0; n < size; n++) {
            mux_input_clear(&input);
            put(&input, golden->bytes, n);
            g_assert_cmpint(take(&input, golden->sequence), ==, MUX_INPUT_MORE);
            put(&input, golden->bytes + n, size - n);
            assert_takes(&input, golden);
            g_assert_cmpint(take(&input, golden->sequence), ==, MUX_INPUT_MORE);
        }
    }
    mux_input_deinit(&input);
}

static void test_flipped(void)
{
    MuxInput input;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        const Golden *golden = &golden_frames[i];
        for (size_t bit = 0; bit < MUX_HEADER_SIZE * 8; bit++) {
            uint8_t header[MUX_HEADER_SIZE];
            memcpy(header, golden->bytes, sizeof(header));
            header[bit / 8] ^= (uint8_t)(1u << bit % 8);
            // It is known from the header alone: nothing is waited for.
            mux_input_clear(&input);
            put(&input, header, sizeof(header));
            g_assert_cmpint(take(&input, golden->sequence), ==, MUX_INPUT_LOST);
        }
    }
    mux_input_deinit(&input);
}

static void test_sequence(void)
{
    static const uint32_t wrong[] = {0, 1, 3, 5, 6, 0x80000004, UINT32_MAX};
    MuxInput input;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    put(&input, golden_data, sizeof(golden_data));
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_cmpint(take(&input, wrong[i]), ==, MUX_INPUT_LOST);
    assert_takes(&input, &golden_frames[3]);
    mux_input_deinit(&input);
}

static void test_zeros(void)
{
    static const uint8_t zeros[MUX_HEADER_SIZE];
    MuxInput input;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    put(&input, zeros, 15);
    g_assert_cmpint(take(&input, 1), ==, MUX_INPUT_MORE);
    put(&input, zeros, 1);
    g_assert_cmpint(take(&input, 1), ==, MUX_INPUT_ANEW);
    mux_input_clear(&input);
    put(&input, zeros, 15);
    put(&input, "\1", 1);
    g_assert_cmpint(take(&input, 1), ==, MUX_INPUT_LOST);
    mux_input_deinit(&input);
}

// HELLO is no frame of a session, whatever its key and number.
static void test_hello(void)
{
    MuxInput input;
    MuxFrame frame = {.type = MUX_FRAME_HELLO, .length = 60, .sequence = 9};
    uint8_t keyed[MUX_HELLO_SIZE] = {0};
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    put(&input, golden_hello, sizeof(golden_hello));
    g_assert_cmpint(take(&input, 0), ==, MUX_INPUT_LOST);
    mux_input_clear(&input);
    mux_frame_seal(keyed, &frame, KEY);
    put(&input, keyed, sizeof(keyed));
    g_assert_cmpint(take(&input, 9), ==, MUX_INPUT_LOST);
    mux_input_deinit(&input);
}

static void test_find_hello(void)
{
    MuxInput input;
    MuxHello hello;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    put(&input, golden_ack, sizeof(golden_ack));
    put(&input, golden_hello, 40);
    g_assert_cmpint(mux_input_hello(&input, &hello), ==, MUX_INPUT_MORE);
    g_assert_cmpuint(input.end - input.start, ==, 40);
    put(&input, golden_hello + 40, 40);
    put(&input, golden_ping, sizeof(golden_ping));
    g_assert_cmpint(mux_input_hello(&input, &hello), ==, 0);
    g_assert_cmphex(hello.id, ==, 0x1111);
    assert_takes(&input, &golden_frames[0]); // what follows is still there
    mux_input_deinit(&input);
}

static void test_damaged_payload(void)
{
    MuxInput input;
    uint8_t cut[sizeof(golden_open)];
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    // Three bytes of the payload are gone, the next frame's stand in their place.
    memcpy(cut, golden_open, 20);
    memcpy(cut + 20, golden_open + 23, sizeof(cut) - 23);
    memcpy(cut + sizeof(cut) - 3, golden_data, 3);
    put(&input, cut, sizeof(cut));
    g_assert_cmpint(take(&input, 3), ==, MUX_INPUT_LOST);
    mux_input_deinit(&input);
}

// The largest frames, in pieces of odd sizes, for many times the buffer's length: there is always
// space for what is missing, and what is lent is what was put in.
static void test_largest(void)
{
    static uint8_t wire[MUX_FRAME_MAX];
    MuxInput input;
    uint32_t sequence = 1, taken = 1;

    g_assert_cmpint(mux_input_init(&input), ==, 0);
    size_t left = 0;
    while (taken < 100) {
        if (left == 0) {
            MuxFrame frame = {MUX_FRAME_DATA, MUX_PAYLOAD_MAX, 1, sequence, false};
            memset(wire + MUX_HEADER_SIZE, (int)sequence, MUX_PAYLOAD_MAX);
            mux_frame_seal(wire, &frame, KEY);
            sequence++;
            left = sizeof(wire);
        }
        uint8_t *base;
        size_t space = mux_input_space(&input, &base);
        g_assert_cmpuint(space, >, 0);
        size_t part = MIN(MIN(left, 4099), space);
        memcpy(base, wire + sizeof(wire) - left, part);
        mux_input_filled(&input, part);
        left -= part;

        MuxFrame frame;
        const uint8_t *payload;
        if (mux_input_frame(&input, KEY, taken, &frame, &payload) == 0) {
            g_assert_cmpuint(payload[0], ==, taken & 0xff);
            g_assert_cmpuint(payload[MUX_PAYLOAD_MAX - 1], ==, taken & 0xff);
            taken++;
        }
    }
    mux_input_deinit(&input);
}

static void test_full(void)
{
    MuxInput input;
    uint8_t *base;
    g_assert_cmpint(mux_input_init(&input), ==, 0);
    size_t space = mux_input_space(&input, &base);
    g_assert_cmpuint(space, ==, MUX_INPUT_SIZE);
    mux_input_filled(&input, space);
    g_assert_cmpuint(mux_input_space(&input, &base), ==, 0);
    mux_input_deinit(&input);
    mux_input_deinit(&input); // harmless
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/input/truncations", test_truncations);
    g_test_add_func("/input/flipped", test_flipped);
    g_test_add_func("/input/sequence", test_sequence);
    g_test_add_func("/input/zeros", test_zeros);
    g_test_add_func("/input/hello", test_hello);
    g_test_add_func("/input/find-hello", test_find_hello);
    g_test_add_func("/input/damaged-payload", test_damaged_payload);
    g_test_add_func("/input/largest", test_largest);
    g_test_add_func("/input/full", test_full);
    return g_test_run();
}
