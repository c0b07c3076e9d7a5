// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A bulk stream whose other end means no good.

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "bulk-pair.h"

static void put(unsigned char *to, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

static void say_hello(int fd, const char *magic, uint64_t id, uint64_t offset, uint64_t size,
                      uint64_t length, const char *name)
{
    unsigned char hello[36 + 128];
    size_t n = strlen(name);

    memcpy(hello, magic, 8);
    put(hello + 8, id, 8);
    put(hello + 16, offset, 8);
    put(hello + 24, size, 8);
    put(hello + 32, length, 4);
    memcpy(hello + 36, name, n);
    g_assert_cmpint(send(fd, hello, 36 + n, 0), ==, 36 + n);
}

static void say_piece(int fd, uint64_t offset, uint64_t length)
{
    unsigned char message[16];

    put(message, offset, 8);
    put(message + 8, length, 8);
    g_assert_cmpint(send(fd, message, sizeof(message), 0), ==, sizeof(message));
}

#define ID 0x0123456789abcdefu

static void test_bad_hello(void)
{
    const struct {
        const char *magic;
        uint64_t id, offset, size, length;
        const char *name;
        gboolean opened; // whether the buffer is looked at
    } cases[] = {
        {"muxbulk2", ID, 0, 64, 4, "clip", FALSE},
        {"GET / HT", ID, 0, 64, 4, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, 0, "", FALSE},
        {"muxbulk1", ID, 0, 64, 129, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, UINT32_MAX, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a/bc", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a\"bc", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a\nbc", FALSE},
        {"muxbulk1", 0, 0, 64, 4, "clip", TRUE},
        {"muxbulk1", ID + 1, 0, 64, 4, "clip", TRUE},
        {"muxbulk1", ID, 0, 0, 4, "clip", TRUE},
        {"muxbulk1", ID, 0, FAKE_SIZE + 1, 4, "clip", TRUE},
        {"muxbulk1", ID, 64, FAKE_SIZE, 4, "clip", TRUE},
        {"muxbulk1", ID, UINT64_MAX, 2, 4, "clip", TRUE},
        {"muxbulk1", ID, 2, UINT64_MAX, 4, "clip", TRUE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        BulkPair pair;
        bulk_set_up(&pair, 0, 0);
        say_hello(pair.channel[0], cases[i].magic, cases[i].id, cases[i].offset, cases[i].size,
                  cases[i].length, cases[i].name);
        g_assert_cmpint(bulk_take_none(&pair), ==, -EPROTO);
        g_assert_cmpint(bulk_take_none(&pair), ==, -EPROTO);
        g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), !=, "");
        g_assert_cmpint(pair.fake.n, ==, cases[i].opened ? 2 : 1);
        bulk_tear_down(&pair);
    }
}

// Good ones beside bad ones: those before are delivered, and after a bad one nothing is.
static void test_bad_pieces(void)
{
    const uint64_t most = UINT64_MAX;
    const struct {
        uint64_t offset, length;
    } cases[] = {
        {0, 0},         {100, 0},           {100, 101},   {101, 99},   {FAKE_SIZE, 1},
        {most, 1},      {1, most},          {most, most}, {200, most}, {most - 4, 8},
        {0, FAKE_SIZE}, {FAKE_SIZE - 1, 2}, {0, 8},       {7, 1},      {0, 1},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        BulkPair pair;
        const void *memory = NULL;
        size_t length = 0;
        bulk_set_up(&pair, 0, 0);
        memset(mux_client_buffer_memory(pair.buffer), 'x', FAKE_SIZE);
        say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
        say_piece(pair.channel[0], 0, 8);
        say_piece(pair.channel[0], 200, 8);
        say_piece(pair.channel[0], FAKE_SIZE - 1, 1);
        say_piece(pair.channel[0], cases[i].offset, cases[i].length);
        say_piece(pair.channel[0], 300, 8);
        (void)bulk_take_piece(&pair, 'x', 8);
        (void)bulk_take_piece(&pair, 'x', 8);
        (void)bulk_take_piece(&pair, 'x', 1);
        int r = mux_client_bulk_take(pair.receiver, 0, &memory, &length);
        g_assert_cmpint(r, ==, cases[i].offset == 101 ? 0 : -EPROTO);
        if (r != 0)
            g_assert_cmpint(bulk_take_none(&pair), ==, -EPROTO);
        bulk_tear_down(&pair);
    }
}

// The same place again is fine once it was released; more than there may be are not.
static void test_flood(void)
{
    BulkPair pair;
    const void *memory = NULL;
    size_t length = 0;
    int r = 0, n = 0;

    bulk_set_up(&pair, 0, 0);
    say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
    for (uint64_t i = 0; r == 0; i++, n++) {
        say_piece(pair.channel[0], i, 1);
        r = mux_client_bulk_take(pair.receiver, 0, &memory, &length);
    }
    g_assert_cmpint(r, ==, -EPROTO);
    g_assert_cmpint(n, ==, MUX_CLIENT_BULK_PIECES + 1);
    bulk_tear_down(&pair);

    // He uses again what he does not want to hear that he may: he gets so far and no further.
    bulk_set_up(&pair, 0, 0);
    say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
    for (n = 0; n < 100000; n++) {
        say_piece(pair.channel[0], 0, 1);
        memory = NULL;
        if (mux_client_bulk_take(pair.receiver, 0, &memory, &length) == MUX_CLIENT_AGAIN)
            break;
        bulk_release(&pair, memory);
    }
    g_assert_cmpint(n, <, 100000);
    g_assert_cmpint(mux_client_bulk_events(pair.receiver), ==, POLLOUT);
    bulk_close_end(&pair.channel[0]);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, 0);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, memory, 0), ==, 0);
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_CLOSED);
    bulk_tear_down(&pair);
}

static void test_bad_release(void)
{
    const struct {
        uint64_t offset, length;
    } cases[] = {{0, 0}, {0, 99}, {0, 101}, {1, 100}, {64, 1}, {128, 50}, {UINT64_MAX, 100}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        BulkPair pair;
        void *memory = NULL, *reserved = NULL;
        bulk_set_up(&pair, 0, 256);
        bulk_send_piece(&pair, 'a', 100, 0);
        g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 50, -1, &reserved), ==, 0);
        say_piece(pair.channel[1], cases[i].offset, cases[i].length);
        g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 200, -1, &memory), ==, -EPROTO);
        g_assert_cmpint(mux_client_bulk_commit(pair.sender, reserved, 1, 0), ==, -EPROTO);
        g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, -EPROTO);
        g_assert_null(memory);
        bulk_tear_down(&pair);
    }
}

// One byte at a time.
static void test_dribble(void)
{
    BulkPair pair;
    unsigned char all[40 + 16] = "muxbulk1";

    bulk_set_up(&pair, 0, 0);
    memset(mux_client_buffer_memory(pair.buffer), 'x', FAKE_SIZE);
    put(all + 8, ID, 8);
    put(all + 24, FAKE_SIZE, 8);
    put(all + 32, 4, 4);
    memcpy(all + 36, "clip", 4);
    put(all + 40, 10, 8);
    put(all + 48, 20, 8);
    for (size_t i = 0; i < sizeof(all); i++) {
        g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN);
        g_assert_cmpint(send(pair.channel[0], all + i, 1, 0), ==, 1);
    }
    bulk_release(&pair, bulk_take_piece(&pair, 'x', 20));
    bulk_tear_down(&pair);
}

// A good stream with some bytes changed: whatever is given out is inside.
static void test_changed(void)
{
    for (int round = 0; round < 300; round++) {
        BulkPair pair;
        unsigned char all[40 + 16 * 16] = "muxbulk1";
        const void *memory = NULL;
        size_t length = 0;
        unsigned sum = 0;

        bulk_set_up(&pair, 0, 0);
        put(all + 8, ID, 8);
        put(all + 24, FAKE_SIZE, 8);
        put(all + 32, 4, 4);
        memcpy(all + 36, "clip", 4);
        for (unsigned i = 0; i < 16; i++) {
            put(all + 40 + 16 * i, i * (FAKE_SIZE / 16), 8);
            put(all + 48 + 16 * i, FAKE_SIZE / 16, 8);
        }
        for (int i = 0; i < 3; i++)
            all[g_test_rand_int_range(i ? 36 : 0, sizeof(all))] ^=
                (unsigned char)(1 << g_test_rand_int_range(0, 8));
        g_assert_cmpint(send(pair.channel[0], all, sizeof(all), 0), ==, sizeof(all));
        while (mux_client_bulk_take(pair.receiver, 0, &memory, &length) == 0) {
            for (size_t i = 0; i < length; i += 512)
                sum += ((const unsigned char *)memory)[i];
            sum += ((const unsigned char *)memory)[length - 1];
            if (g_test_rand_bit())
                bulk_release(&pair, memory);
        }
        g_assert_cmpuint(sum, ==, 0);
        bulk_tear_down(&pair);
    }
}

// Descriptors that nobody asked for.
static void test_descriptors(void)
{
    BulkPair pair;

    bulk_set_up(&pair, 0, 0);
    int fds[3] = {pair.fake.memory, pair.fake.memory, pair.channel[0]};
    bulk_send_piece(&pair, 'a', 1, 0);
    const void *a = bulk_take_piece(&pair, 'a', 1);
    guint before = fake_descriptors();
    fake_pass(pair.channel[0], "half of", fds, 3);
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpuint(fake_descriptors(), ==, before);
    bulk_release(&pair, a);
    bulk_tear_down(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/bulk-peer/bad-hello", test_bad_hello);
    g_test_add_func("/client/bulk-peer/bad-pieces", test_bad_pieces);
    g_test_add_func("/client/bulk-peer/flood", test_flood);
    g_test_add_func("/client/bulk-peer/bad-release", test_bad_release);
    g_test_add_func("/client/bulk-peer/changed", test_changed);
    g_test_add_func("/client/bulk-peer/descriptors", test_descriptors);
    g_test_add_func("/client/bulk-peer/dribble", test_dribble);
    return g_test_run();
}
