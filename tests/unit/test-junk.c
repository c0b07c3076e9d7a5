// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// handshake.c and hello.c: whatever an earlier life, or somebody else, left in the pipe, a session
// comes up and nothing of it is seen.

#include <string.h>

#include "forge.h"
#include "golden.h"
#include "proto/limits.h"

static const MuxHello from_guest = {.version_min = 1,
                                    .version_max = 1,
                                    .role = MUX_GUEST,
                                    .id = GUEST_ID,
                                    .channels = 8,
                                    .pending = 8};

static void assert_talk(Pair *pair)
{
    pair->host.accepts = true;
    MuxChannel *channel = end_open(&pair->guest, "echo");
    pair_settle(pair);
    end_write(&pair->guest, channel, "hello", 5);
    pair_settle(pair);
    end_expect(&pair->guest, "ACCEPT 1\n");
    end_expect(&pair->host, "OPEN 1 echo\nDATA 1 hello\n");
}

typedef void (*Junk)(GByteArray *into);

static void junk_byte(GByteArray *into, uint8_t byte, size_t n)
{
    while (n--)
        g_byte_array_append(into, &byte, 1);
}

static void junk_zeros(GByteArray *into)
{
    junk_byte(into, 0, 50000);
}

static void junk_ones(GByteArray *into)
{
    junk_byte(into, 1, 300000); // more than the buffer
}

static void junk_random(GByteArray *into)
{
    for (unsigned i = 0; i < 100000; i++)
        junk_byte(into, (uint8_t)g_test_rand_int(), 1);
}

static void junk_text(GByteArray *into)
{
    static const char text[] = "\r\nDebian GNU/Linux 12 guest hvc0\r\n\r\nguest login: ";
    for (unsigned i = 0; i < 100; i++)
        g_byte_array_append(into, (const uint8_t *)text, sizeof(text) - 1);
}

static void junk_prefixes(GByteArray *into)
{
    for (unsigned n = 1; n < MUX_HELLO_SIZE; n++)
        g_byte_array_append(into, golden_hello, n);
}

static void junk_frames(GByteArray *into)
{
    for (size_t i = 0; i < G_N_ELEMENTS(golden_frames); i++)
        g_byte_array_append(into, golden_frames[i].bytes,
                            (guint)mux_frame_size(golden_frames[i].length));
    g_byte_array_append(into, golden_open, 20); // and a half
}

static void stale_hello(uint8_t *base)
{
    MuxHello stale = from_guest;
    stale.id = 0x9999;
    stale.echo = 0x8888; // an earlier life of ours
    mux_hello_encode(base, &stale);
}

static void junk_stale_hello(GByteArray *into)
{
    uint8_t base[MUX_HELLO_SIZE];
    stale_hello(base);
    g_byte_array_append(into, base, sizeof(base));
    junk_frames(into);
}

// An app's data that look like a HELLO, as an earlier life left them in the pipe.
static void junk_hello_in_data(GByteArray *into)
{
    uint8_t base[MUX_HEADER_SIZE + MUX_HELLO_SIZE + MUX_GUARD_SIZE];
    MuxFrame frame = {MUX_FRAME_DATA, MUX_HELLO_SIZE, 1, 1, false};
    stale_hello(base + MUX_HEADER_SIZE);
    mux_frame_seal(base, &frame, 0x1234);
    g_byte_array_append(into, base, sizeof(base));
}

static const Junk junks[] = {junk_zeros,    junk_ones,   junk_random,      junk_text,
                             junk_prefixes, junk_frames, junk_stale_hello, junk_hello_in_data};

static void test_junk(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(junks); i++) {
        Pair pair;
        g_autoptr(GByteArray) junk = g_byte_array_new();
        junks[i](junk);
        pair_init(&pair, NULL, NULL);
        end_start(&pair.host, HOST_ID);
        end_feed(&pair.host, junk->data, junk->len);
        end_expect(&pair.host, "");
        pair_up(&pair);
        assert_talk(&pair);
        pair_deinit(&pair);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/junk/all-kinds", test_junk);
    return g_test_run();
}
