// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// output.c: a batch is one write of at most 32 KiB, and what is in flight is counted.

#include <glib.h>
#include <string.h>

#include "golden.h"
#include "proto/hello.h"
#include "proto/limits.h"
#include "proto/output.h"

static void begin(MuxOutput *output)
{
    g_assert_cmpint(mux_output_init(output), ==, 0);
    mux_output_begin(output, mux_frame_key(0x1111, 0x2222));
}

static size_t pending(const MuxOutput *output)
{
    const uint8_t *base;
    return mux_output_pending(output, &base);
}

static void test_frames(void)
{
    MuxOutput output;
    begin(&output);
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++) {
        const Golden *golden = &golden_frames[i];
        const uint8_t *base;
        memcpy(mux_output_payload(&output), golden->bytes + MUX_HEADER_SIZE, golden->length);
        mux_output_limit(&output, golden->ask ? 0 : MUX_FLIGHT_MAX);
        mux_output_frame(&output, golden->type, golden->channel, golden->length);
        size_t size = mux_output_pending(&output, &base);
        g_assert_cmpmem(base, size, golden->bytes, mux_frame_size(golden->length));
        mux_output_written(&output, size);
    }
    mux_output_deinit(&output);
}

static void test_room(void)
{
    MuxOutput output;
    begin(&output);
    g_assert_cmpuint(mux_output_room(&output), ==, MUX_PAYLOAD_MAX);
    mux_output_frame(&output, MUX_FRAME_DATA, 1, 1000);
    g_assert_cmpuint(mux_output_room(&output), ==, MUX_PAYLOAD_MAX - 1020);
    mux_output_frame(&output, MUX_FRAME_DATA, 1, (uint16_t)mux_output_room(&output));
    g_assert_cmpuint(pending(&output), ==, MUX_FRAME_MAX);
    g_assert_cmpuint(mux_output_room(&output), ==, 0);
    mux_output_written(&output, MUX_FRAME_MAX);
    g_assert_cmpuint(mux_output_room(&output), ==, MUX_PAYLOAD_MAX);
    mux_output_deinit(&output);
}

// How much room is said to be left, for each number of bytes that are left: 0 means "no frame", so
// a frame without payload needs a byte more than it is long. Nothing goes over the end.
static void test_end(void)
{
    for (unsigned left = 0; left < 64; left++) {
        MuxOutput output;
        begin(&output);
        mux_output_frame(&output, MUX_FRAME_DATA, 1, (uint16_t)(MUX_PAYLOAD_MAX - left));
        g_assert_cmpuint(mux_output_room(&output), ==, left > 20 ? left - 20 : 0);
        mux_output_deinit(&output);
    }
}

// A batch of which a part was written takes nothing more.
static void test_partly_written(void)
{
    static const uint8_t hello[MUX_HELLO_SIZE] = {1};
    MuxOutput output;
    begin(&output);
    mux_output_frame(&output, MUX_FRAME_FIN, 1, 0);
    mux_output_frame(&output, MUX_FRAME_STOP, 1, 0);
    mux_output_written(&output, 0);
    g_assert_cmpuint(mux_output_room(&output), >, 0);
    mux_output_written(&output, 1);
    g_assert_cmpuint(mux_output_room(&output), ==, 0);
    g_assert_false(mux_output_hello(&output, hello));
    g_assert_cmpuint(pending(&output), ==, 39);
    mux_output_written(&output, 39);
    g_assert_cmpuint(mux_output_room(&output), ==, MUX_PAYLOAD_MAX);
    g_assert_true(mux_output_hello(&output, hello));
    g_assert_cmpuint(pending(&output), ==, MUX_HELLO_SIZE);
    mux_output_deinit(&output);
}

static void test_hello_room(void)
{
    static const uint8_t hello[MUX_HELLO_SIZE] = {1};
    MuxOutput output;
    begin(&output);
    mux_output_frame(&output, MUX_FRAME_DATA, 1, MUX_PAYLOAD_MAX - MUX_HELLO_SIZE + 1);
    g_assert_false(mux_output_hello(&output, hello));
    mux_output_written(&output, pending(&output));
    mux_output_frame(&output, MUX_FRAME_DATA, 1, MUX_PAYLOAD_MAX - MUX_HELLO_SIZE);
    g_assert_true(mux_output_hello(&output, hello));
    g_assert_cmpuint(pending(&output), ==, MUX_FRAME_MAX);
    mux_output_deinit(&output);
}

static void test_restart(void)
{
    static const uint8_t zeros[MUX_FRAME_MAX];
    const uint8_t *base;
    MuxOutput output;
    begin(&output);
    mux_output_frame(&output, MUX_FRAME_DATA, 1, 10000);
    mux_output_written(&output, 77);
    mux_output_restart(&output);
    size_t n = mux_output_pending(&output, &base);
    g_assert_cmpmem(base, n, zeros, sizeof(zeros));
    g_assert_cmpuint(mux_output_room(&output), ==, 0);
    mux_output_deinit(&output);
}

// A frame as large as there is. Returns whether it asks for an ACK.
static bool put(MuxOutput *output)
{
    MuxFrame frame;
    const uint8_t *base;
    mux_output_frame(output, MUX_FRAME_DATA, 1, MUX_PAYLOAD_MAX);
    g_assert_cmpuint(mux_output_pending(output, &base), ==, MUX_FRAME_MAX);
    g_assert_cmpint(mux_frame_decode(base, output->key, &frame), ==, 0);
    mux_output_written(output, MUX_FRAME_MAX);
    return frame.ask;
}

static void test_flight(void)
{
    MuxOutput output;
    begin(&output);
    mux_output_limit(&output, 8 * MUX_FRAME_MAX);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_false(mux_output_full(&output));
        g_assert_true(put(&output) == (i == 3 || i == 7));
    }
    g_assert_cmpuint(output.sent, ==, 8 * MUX_FRAME_MAX);
    g_assert_true(mux_output_full(&output));
    g_assert_true(mux_output_acked(&output, 1));
    g_assert_false(mux_output_full(&output));
    mux_output_deinit(&output);
}

// Frames that wait for nothing ask too, and more often than can be remembered; the limit shrinks
// meanwhile. Once all that asked are answered, little is in flight.
static void test_asks(void)
{
    MuxOutput output;
    uint64_t last = 0;
    begin(&output);
    mux_output_limit(&output, 8 * MUX_FRAME_MAX);
    for (unsigned i = 0; i < 101; i++) {
        if (i == 96)
            mux_output_limit(&output, 4 * MUX_FRAME_MAX);
        mux_output_beside(&output, 1000);
        if (put(&output))
            last = output.sent;
    }
    g_assert_true(mux_output_acked(&output, last - 1));
    g_assert_cmpuint(output.n_asks, ==, 1);
    g_assert_true(mux_output_acked(&output, last));
    g_assert_cmpuint(output.n_asks, ==, 0);
    g_assert_cmpuint(output.acked, <, output.sent);
    g_assert_cmpuint(mux_output_in_flight(&output), <, 2 * MUX_FRAME_MAX);
    mux_output_deinit(&output);
}

// What comes beside a frame is in flight until it is known that the frame was read: by the ACK that
// it asked for, or one of all.
static void test_beside(void)
{
    MuxOutput output;
    begin(&output);
    mux_output_limit(&output, 10 * MUX_FRAME_MAX);
    mux_output_beside(&output, 6 * MUX_FRAME_MAX);
    g_assert_true(put(&output));
    mux_output_beside(&output, 3 * MUX_FRAME_MAX);
    g_assert_false(put(&output));
    g_assert_true(mux_output_full(&output));
    g_assert_true(mux_output_acked(&output, MUX_FRAME_MAX - 1));
    g_assert_cmpuint(mux_output_in_flight(&output), ==, 10 * MUX_FRAME_MAX + 1);
    g_assert_true(mux_output_acked(&output, MUX_FRAME_MAX));
    g_assert_cmpuint(mux_output_in_flight(&output), ==, 4 * MUX_FRAME_MAX);
    g_assert_true(mux_output_acked(&output, 2 * MUX_FRAME_MAX - 1));
    g_assert_cmpuint(mux_output_in_flight(&output), ==, 3 * MUX_FRAME_MAX + 1);
    g_assert_true(mux_output_acked(&output, 2 * MUX_FRAME_MAX));
    g_assert_cmpuint(mux_output_in_flight(&output), ==, 0);
    mux_output_deinit(&output);
}

static void test_acked(void)
{
    MuxOutput output;
    begin(&output);
    g_assert_true(mux_output_acked(&output, 0));
    g_assert_false(mux_output_acked(&output, 1)); // nothing was sent
    mux_output_frame(&output, MUX_FRAME_DATA, 1, 980);
    g_assert_false(mux_output_acked(&output, 1001));
    g_assert_false(mux_output_acked(&output, UINT64_MAX));
    g_assert_true(mux_output_acked(&output, 600));
    g_assert_true(mux_output_acked(&output, 600));
    g_assert_false(mux_output_acked(&output, 599));
    g_assert_false(mux_output_acked(&output, 0));
    g_assert_cmpuint(output.acked, ==, 600);
    g_assert_true(mux_output_acked(&output, 1000));
    mux_output_deinit(&output);
    mux_output_deinit(&output); // harmless
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/output/frames", test_frames);
    g_test_add_func("/output/room", test_room);
    g_test_add_func("/output/end", test_end);
    g_test_add_func("/output/partly-written", test_partly_written);
    g_test_add_func("/output/hello-room", test_hello_room);
    g_test_add_func("/output/restart", test_restart);
    g_test_add_func("/output/flight", test_flight);
    g_test_add_func("/output/asks", test_asks);
    g_test_add_func("/output/beside", test_beside);
    g_test_add_func("/output/acked", test_acked);
    return g_test_run();
}
