// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The bytes of each type of frame as a session really writes them: a guest is brought to say one of
// each, and what it wrote is compared with what was computed from the description of the protocol.

#include "forge.h"

#include <string.h>

#include "golden.h"
#include "proto/channel.h"
#include "proto/limits.h"

// What the guest writes next is golden_frames[first] and the `count - 1` after it.
static void expect(Forge *forge, size_t first, size_t count)
{
    g_autoptr(GByteArray) out = end_output(&forge->end);
    size_t at = 0;
    for (size_t i = first; i < first + count; i++) {
        size_t size = mux_frame_size(golden_frames[i].length);
        g_assert_cmpuint(out->len, >=, at + size);
        g_assert_cmpmem(out->data + at, size, golden_frames[i].bytes, size);
        at += size;
    }
    g_assert_cmpuint(out->len, ==, at);
}

static void own_channel(Forge *forge)
{
    MuxChannel *channel = end_open(&forge->end, "echo");
    expect(forge, 2, 1);
    forge_accept(forge, 1, 1000);
    g_assert_cmpuint(end_write(&forge->end, channel, "hello", 5), ==, 5);
    expect(forge, 3, 1);
    forge_empty(forge, MUX_FRAME_RECLAIM, 1);
    expect(forge, 4, 1); // RETURN: it used five bytes
    forge_data(forge, 1, 8192);
    mux_channel_consumed(channel, 8191);
    expect(forge, 5, 0); // one byte short of half a window
    mux_channel_consumed(channel, 1);
    expect(forge, 5, 1); // CREDIT
    mux_channel_stop(channel);
    expect(forge, 6, 1);
    mux_channel_fin(channel);
    expect(forge, 7, 1);
}

static void other_channel(Forge *forge)
{
    forge_open(forge, 2, 0, "a");
    MuxChannel *channel = end_channel(&forge->end, 2);
    mux_channel_accept(channel, NULL);
    expect(forge, 8, 1);
    mux_channel_reclaim(channel);
    expect(forge, 9, 1);
    end_close(&forge->end, channel, MUX_CODE_REFUSED);
    expect(forge, 10, 1);
}

// What came for nobody is given back; a notice; and bytes in a slot, on a channel of its own.
static void shared_memory(Forge *forge)
{
    static uint8_t memory[4 * 64];
    MuxRegion region = {memory, 0x11223344, 1, {{64, 4}}};
    MuxNotice notice;

    g_assert_cmpint(mux_session_set_region(forge->end.session, false, &region), ==, 0);
    forge_reference(forge, 1, &(MuxReference){0x11223344, 2, 1, 0, 10});
    expect(forge, 13, 1);
    mux_notice_init(&notice, 0x0123456789abcdef);
    notice.sequence = 7;
    notice.offset = 4096;
    notice.length = 65536;
    mux_session_notify(forge->end.session, &notice);
    expect(forge, 14, 1);
    region.epoch = 0x55667788;
    g_assert_cmpint(mux_session_set_region(forge->end.session, true, &region), ==, 0);
    MuxChannel *channel = end_open(&forge->end, "bulk");
    expect(forge, 15, 1);
    forge_accept(forge, 3, 1000);
    mux_channel_set_path(channel, MUX_PATH_SHARED, 0);
    g_assert_cmpuint(end_write(&forge->end, channel, "hello", 5), ==, 5);
    g_assert_cmpmem(memory, 6, "hello", 6);
    expect(forge, 16, 1);
}

static void test_frames(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    mux_session_tick(forge.end.session, forge.end.now_us + MUX_PING_US);
    expect(&forge, 0, 1);
    forge_number(&forge, MUX_FRAME_PING, 0, 0x0123456789abcdef);
    expect(&forge, 1, 1);
    own_channel(&forge);
    other_channel(&forge);

    // So many bytes arrived by now, and so many that do not ask for an ACK, and one that does.
    unsigned bytes = 28 + 32 + 20 + 8212 + 35;
    forge.held = true;
    for (unsigned ping = 0; ping < 2044; ping++) {
        forge.asks = ping == 2043;
        forge_number(&forge, MUX_FRAME_PING, 0, ping);
        bytes += 28;
    }
    g_assert_cmpuint(bytes, ==, 65559);
    forge.asks = false;
    forge_release(&forge);
    expect(&forge, 11, 2); // one PONG, of the last, and the ACK
    shared_memory(&forge);
    g_assert_true(g_str_has_prefix(forge.end.log->str, "ACCEPT 1\nDATA 1 xxx"));
    g_assert_true(g_str_has_suffix(forge.end.log->str, "x\nOPEN 2 a\nACCEPT 3\n"));
    forge_deinit(&forge);
}

// The zeros of a whole frame, then HELLO; and the HELLO that answers one.
static void test_hello(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    end_start(&pair.guest, GUEST_ID);
    end_start(&pair.host, HOST_ID);
    g_autoptr(GByteArray) first = end_output(&pair.guest);
    g_assert_cmpuint(first->len, ==, MUX_FRAME_MAX + MUX_HELLO_SIZE);
    for (size_t i = 0; i < MUX_FRAME_MAX; i++)
        g_assert_cmpuint(first->data[i], ==, 0);
    uint8_t alone[MUX_HELLO_SIZE];
    memcpy(alone, first->data + MUX_FRAME_MAX, sizeof(alone));
    // It differs from the golden one in the echo and the sum.
    memcpy(alone + 40, golden_hello + 40, 8);
    memcpy(alone + 72, golden_hello + 72, 4);
    g_assert_cmpmem(alone, sizeof(alone), golden_hello, sizeof(golden_hello));

    while (pair_carry(&pair.host, &pair.guest) > 0) {
    }
    g_autoptr(GByteArray) second = end_output(&pair.guest);
    g_assert_cmpmem(second->data, second->len, golden_hello, sizeof(golden_hello));
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/golden/hello", test_hello);
    g_test_add_func("/golden/frames", test_frames);
    return g_test_run();
}
