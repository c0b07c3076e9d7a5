// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A peer that does what it may, but far too often; and the counters that have to be back at zero.

#include <string.h>

#include "forge.h"
#include "proto/limits.h"
#include "proto/session-private.h"

#define STORM "DOWN protocol: resets in a storm\n"

// --- opens that come to nothing -----------------------------------------------------------------------

static void assert_nothing_left(const End *end)
{
    g_assert_cmpuint(end_info(end).channels, ==, 0);
    g_assert_cmpuint(end_info(end).budget_used, ==, 0);
    g_assert_cmpuint(end->session->ours, ==, 0);
    g_assert_cmpuint(end->session->theirs, ==, 0);
    g_assert_cmpuint(end->session->alive, ==, 0);
    g_assert_cmpuint(end->session->unanswered, ==, 0);
    g_assert_cmpuint(end->session->unserved, ==, 0);
}

static const MuxLimits small = {.channels = 8, .pending = 8};

// As many as the limit, over and over: refused by the peer.
static void test_refused(void)
{
    Pair pair;
    pair_init(&pair, &small, &small);
    pair_up(&pair);
    for (unsigned round = 0; round < 50; round++) {
        uint32_t first = 1 + round * 16;
        for (unsigned i = 0; i < 8; i++)
            g_assert_nonnull(end_open(&pair.guest, "nobody"));
        g_assert_null(end_open(&pair.guest, "nobody"));
        pair_settle(&pair);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.host, end_channel(&pair.host, id), MUX_CODE_NO_SERVICE);
        pair_settle(&pair);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_CLOSED);
        assert_nothing_left(&pair.guest);
        assert_nothing_left(&pair.host);
    }
    pair_deinit(&pair);
}

// Given up by who opened them: before OPEN is out, before it is answered, while the answer is under way.
static void test_given_up(void)
{
    Pair pair;
    pair_init(&pair, &small, &small);
    pair_up(&pair);
    for (unsigned round = 0; round < 60; round++) {
        uint32_t first = 1 + round * 16;
        for (unsigned i = 0; i < 8; i++)
            end_open(&pair.guest, "slow");
        if (round % 3 > 0)
            pair_settle(&pair);
        for (uint32_t id = first; round % 3 == 2 && id < first + 16; id += 2)
            mux_channel_accept(end_channel(&pair.host, id), NULL);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_TIMEOUT);
        pair_settle(&pair);
        for (uint32_t id = first; round % 3 > 0 && id < first + 16; id += 2)
            end_close(&pair.host, end_channel(&pair.host, id), MUX_CODE_CLOSED);
        assert_nothing_left(&pair.guest);
        assert_nothing_left(&pair.host);
    }
    pair_deinit(&pair);
}

// Both reset all at the same time; the peer opens as many anew at once. It has done nothing wrong, though
// our own resets are not out yet.
static void test_crossed(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, &small, NULL);
    for (unsigned round = 0; round < 20; round++) {
        uint32_t first = 1 + round * 16;
        for (uint32_t id = first; id < first + 16; id += 2)
            forge_open(&forge, id, 0, "a");
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&forge.end, end_channel(&forge.end, id), MUX_CODE_DENIED);
        for (uint32_t id = first; id < first + 16; id += 2)
            forge_reset(&forge, id, MUX_CODE_TIMEOUT);
        assert_nothing_left(&forge.end);
    }
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_expect(&forge, ""); // the peer knows already
    forge_deinit(&forge);
}

// An owner that is slow to close what is dead: others are refused, the peer is not at fault, and what is
// held is bounded.
static void test_dead_are_held(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, &small, NULL);
    for (uint32_t id = 1; id < 201; id += 2) {
        forge_open(&forge, id, 0, "a");
        forge_reset(&forge, id, 0);
        g_assert_cmpuint(forge.end.session->alive, <=, 17);
    }
    g_assert_true(mux_session_is_up(forge.end.session));
    g_assert_cmpuint(g_hash_table_size(forge.end.channels), ==, 16);
    forge_open(&forge, 201, 0, "a");
    forge_expect(&forge, "RESET 201 limit\n");
    end_close(&forge.end, end_channel(&forge.end, 1), MUX_CODE_CLOSED);
    end_forget(&forge.end);
    forge_open(&forge, 203, 0, "a");
    end_expect(&forge.end, "OPEN 203 a\n");
    forge_deinit(&forge);
}

// --- resets ---------------------------------------------------------------------------------------------

// The peer opens and resets until it is stopped; returns how often it could.
static unsigned storm(Forge *forge, MuxRole role, bool refused, uint64_t step_us)
{
    forge_up(forge, role, NULL, NULL);
    for (unsigned n = 0; n < 200000; n++) {
        uint32_t id = 2 * n + (role == MUX_HOST ? 1 : 2);
        forge->end.now_us += step_us;
        forge_open(forge, id, 0, "a");
        if (refused)
            end_close(&forge->end, end_channel(&forge->end, id), MUX_CODE_DENIED);
        forge_reset(forge, id, 0);
        if (!mux_session_is_up(forge->end.session))
            return n;
        if (!refused)
            end_close(&forge->end, end_channel(&forge->end, id), MUX_CODE_CLOSED);
        end_forget(&forge->end);
    }
    return 200000;
}

static void test_reset_storm(void)
{
    for (unsigned i = 0; i < 4; i++) {
        Forge forge;
        g_assert_cmpuint(storm(&forge, i % 2 ? MUX_HOST : MUX_GUEST, i / 2, 0), ==,
                         MUX_RESETS_BURST_IN);
        g_assert_true(g_str_has_suffix(forge.end.log->str, STORM));
        forge_deinit(&forge);
    }
}

// As fast as a peer of ours can be, it may go on for ever.
static void test_reset_paced(void)
{
    Forge forge;
    g_assert_cmpuint(storm(&forge, MUX_HOST, false, 1000000 / MUX_RESETS_PER_SECOND), ==, 200000);
    forge_deinit(&forge);
}

// Our own resets of what we opened: a burst, then so many a second; a deadline says when to come back.
static void test_own_resets(void)
{
    Pair pair;
    unsigned total = 0;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    pair.host.session->limits.pending = UINT32_MAX;
    pair.guest.session->peer.pending = UINT32_MAX;
    for (unsigned i = 0; i < 6000; i++)
        g_assert_nonnull(end_open(&pair.guest, "a"));
    pair_settle(&pair);
    g_assert_cmpuint(g_hash_table_size(pair.host.channels), ==, 6000);
    for (uint32_t id = 1; id < 12000; id += 2)
        end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_CLOSED);
    end_forget(&pair.host);
    pair_settle(&pair);
    for (const char *p = pair.host.log->str; (p = strstr(p, "RESET")); p++)
        total++;
    g_assert_cmpuint(total, ==, MUX_RESETS_BURST);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 6000 - MUX_RESETS_BURST);
    uint64_t due = mux_session_deadline(pair.guest.session);
    g_assert_cmpuint(due, ==, pair.guest.now_us + 100 * 1000000u / MUX_RESETS_PER_SECOND);
    pair_sleep(&pair, due - pair.guest.now_us);
    pair_settle(&pair);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 6000 - MUX_RESETS_BURST - 100);
    pair_sleep(&pair, 1000000);
    pair_settle(&pair);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 0);
    g_assert_true(mux_session_is_up(pair.host.session));
    pair_deinit(&pair);
}

// A storm of our own apps while the peer's VM is paused: what then arrives all at once is no storm of a
// peer that is up to something.
static void test_resets_after_pause(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    g_autoptr(GByteArray) pipe = g_byte_array_new();
    const guint port = 128 * MUX_FRAME_MAX;
    for (unsigned ms = 0; ms < 60000; ms += 10) {
        pair.guest.now_us += 10000;
        mux_session_tick(pair.guest.session, pair.guest.now_us);
        for (unsigned i = 0; i < 100; i++) {
            MuxChannel *channel = end_open(&pair.guest, "a");
            if (!channel || pipe->len >= port)
                break;
            g_autoptr(GByteArray) out = end_output(&pair.guest);
            g_byte_array_append(pipe, out->data, out->len);
            end_close(&pair.guest, channel, MUX_CODE_TIMEOUT);
        }
        end_drain(&pair.guest);
    }
    pair.host.now_us = pair.guest.now_us;
    end_feed(&pair.host, pipe->data, pipe->len);
    g_assert_null(strstr(pair.host.log->str, "DOWN"));
    pair_deinit(&pair);
}

// --- control frames ---------------------------------------------------------------------------------------

// A peer that pings without end and never reads: nothing grows, and there is one answer, to the last.
static void test_pings(void)
{
    Forge forge;
    const uint8_t *base;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    for (unsigned i = 1; i <= 100000; i++) {
        forge_number(&forge, MUX_FRAME_PING, 0, i);
        if (i == 1) // what was begun to be written stays what it is
            g_assert_cmpuint(mux_session_output(forge.end.session, &base), ==, 28);
        if (i % 1000 == 0)
            g_assert_cmpuint(mux_session_output(forge.end.session, &base), <=, MUX_FRAME_MAX);
    }
    forge_listen(&forge);
    g_assert_true(g_str_has_prefix(forge.said->str, "PONG 1\n"));
    g_assert_true(g_str_has_suffix(forge.said->str, "ACK 2772000\nPONG 100000\n"));
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
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t id = i % 2 ? 1 : 5;
        forge_data(&forge, id, 5);
        forge_number(&forge, MUX_FRAME_CREDIT, id, UINT64_MAX);
        forge_number(&forge, MUX_FRAME_ACCEPT, id, 0);
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
    forge_deinit(&forge);
}

// ACKs that go back, among good ones.
static void test_acks(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    end_open(&forge.end, "a"); // 31 bytes
    forge_listen(&forge);
    forge_number(&forge, MUX_FRAME_ACK, 0, 0);
    forge_number(&forge, MUX_FRAME_ACK, 0, 31);
    forge_number(&forge, MUX_FRAME_ACK, 0, 31);
    g_assert_cmpuint(end_info(&forge.end).in_flight, ==, 0);
    forge_number(&forge, MUX_FRAME_ACK, 0, 30);
    end_expect(&forge.end, "RESET 1 link-down\n"
                           "DOWN protocol: ACK that goes back, or of bytes that were not sent\n");
    forge_deinit(&forge);
}

// Credit byte by byte: what arrives together goes out together; what does not costs a frame a CREDIT.
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
    g_test_add_func("/flood/opens/refused", test_refused);
    g_test_add_func("/flood/opens/given-up", test_given_up);
    g_test_add_func("/flood/opens/crossed", test_crossed);
    g_test_add_func("/flood/opens/dead-are-held", test_dead_are_held);
    g_test_add_func("/flood/resets/storm", test_reset_storm);
    g_test_add_func("/flood/resets/paced", test_reset_paced);
    g_test_add_func("/flood/resets/own", test_own_resets);
    g_test_add_func("/flood/resets/after-pause", test_resets_after_pause);
    g_test_add_func("/flood/pings", test_pings);
    g_test_add_func("/flood/late", test_late);
    g_test_add_func("/flood/acks", test_acks);
    g_test_add_func("/flood/dribbled-credit", test_dribble);
    g_test_add_func("/flood/dribbled-data", test_dribbled_data);
    return g_test_run();
}
