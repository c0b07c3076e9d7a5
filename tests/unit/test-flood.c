// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Control frames without end, from a peer that does not read, or gives and takes single bytes:
// nothing grows, and the work is bounded by what it sends.

#include <string.h>

#include "forge.h"
#include "proto/limits.h"

// A peer that pings and asks for ACKs without end and never reads: nothing grows, and there is one
// answer, to the last.
static void test_pings(void)
{
    Forge forge;
    const uint8_t *base;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    forge.asks = true;
    for (unsigned i = 1; i <= 100000; i++) {
        forge_number(&forge, MUX_FRAME_PING, 0, i);
        if (i == 1) // what was begun to be written stays what it is
            g_assert_cmpuint(mux_session_output(forge.end.session, &base), ==, 2 * 28);
        if (i % 1000 == 0)
            g_assert_cmpuint(mux_session_output(forge.end.session, &base), <=, MUX_FRAME_MAX);
    }
    forge_listen(&forge);
    g_assert_true(g_str_has_prefix(forge.said->str, "PONG 1\nACK 28\n"));
    g_assert_true(g_str_has_suffix(forge.said->str, "PONG 100000\nACK 2800000\n"));
    g_assert_cmpuint(strlen(forge.said->str), <, 40000);
    forge_deinit(&forge);
}

// Late frames of what is closed: as many as it likes, and nothing is said or kept.
static void test_late(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    forge_open(&forge, 1, 1000, "a");
    mux_channel_accept(end_channel(&forge.end, 1), NULL);
    forge_open(&forge, 9, 1000, "b"); // what was skipped counts as used
    forge_listen(&forge);
    end_close(&forge.end, end_channel(&forge.end, 1), MUX_CODE_CLOSED);
    forge_listen(&forge);
    end_forget(&forge.end);
    g_string_truncate(forge.said, 0);
    forge.asks = true;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t id = i % 2 ? 1 : 5;
        forge_data(&forge, id, 5);
        forge_number(&forge, MUX_FRAME_CREDIT, id, UINT64_MAX);
        forge_accept(&forge, id, 0);
        forge_number(&forge, MUX_FRAME_RETURN, id, 0);
        forge_empty(&forge, MUX_FRAME_FIN, id);
        forge_empty(&forge, MUX_FRAME_STOP, id);
        forge_empty(&forge, MUX_FRAME_RECLAIM, id);
        forge_reset(&forge, id, 0);
    }
    end_expect(&forge.end, "");
    g_assert_cmpuint(end_info(&forge.end).channels, ==, 1);
    forge_listen(&forge);
    g_assert_true(g_str_has_prefix(forge.said->str, "ACK "));
    g_assert_cmpuint(strcspn(forge.said->str, "\n"), ==, forge.said->len - 1);
    forge_deinit(&forge);
}

// ACKs that go back, among good ones.
static void test_acks(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    end_open(&forge.end, "a"); // 35 bytes
    forge_listen(&forge);
    forge_number(&forge, MUX_FRAME_ACK, 0, 0);
    forge_number(&forge, MUX_FRAME_ACK, 0, 35);
    forge_number(&forge, MUX_FRAME_ACK, 0, 35);
    g_assert_cmpuint(end_info(&forge.end).in_flight, ==, 0);
    forge_number(&forge, MUX_FRAME_ACK, 0, 34);
    end_expect(&forge.end, "RESET 1 link-down\n"
                           "DOWN protocol: ACK that goes back, or of bytes that were not sent\n");
    forge_deinit(&forge);
}

// Credit byte by byte: what arrives together goes out together; what does not costs a frame a
// CREDIT.
static void test_dribble(void)
{
    Forge forge;
    static const char text[1000];
    forge_up(&forge, MUX_HOST, NULL, NULL);
    forge_open(&forge, 1, 0, "a");
    MuxChannel *channel = end_channel(&forge.end, 1);
    mux_channel_accept(channel, NULL);
    forge_listen(&forge);
    g_string_truncate(forge.said, 0);
    mux_channel_ready(channel);
    for (unsigned i = 1; i <= 500; i++)
        forge_number(&forge, MUX_FRAME_CREDIT, 1, i);
    g_assert_cmpuint(end_write(&forge.end, channel, text, sizeof(text)), ==, 500);
    forge_expect(&forge, "DATA 1 <500>\n");
    for (unsigned i = 501; i <= 600; i++) {
        forge_number(&forge, MUX_FRAME_CREDIT, 1, i);
        g_assert_cmpuint(end_write(&forge.end, channel, "x", 1), ==, 1);
        forge_expect(&forge, "DATA 1 x\n");
    }
    forge_deinit(&forge);
}

// Data byte by byte: the credit for them still goes back at half a window.
static void test_dribbled_data(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    forge.end.accepts = forge.end.consumes = true;
    forge_open(&forge, 1, 0, "a");
    forge_expect(&forge, "ACCEPT 1 16384\n");
    for (unsigned i = 0; i < 16384; i++) {
        forge_data(&forge, 1, 1);
        forge_listen(&forge);
    }
    g_assert_true(g_str_has_prefix(strstr(forge.said->str, "CREDIT"), "CREDIT 1 24576\n"));
    unsigned credits = 0;
    for (const char *p = forge.said->str; (p = strstr(p, "CREDIT")); p++)
        credits++;
    g_assert_cmpuint(credits, ==, 2);
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flood/pings", test_pings);
    g_test_add_func("/flood/late", test_late);
    g_test_add_func("/flood/acks", test_acks);
    g_test_add_func("/flood/dribbled-credit", test_dribble);
    g_test_add_func("/flood/dribbled-data", test_dribbled_data);
    return g_test_run();
}
