// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// liveness.c: when the peer is asked whether it is there, and that silence is told and nothing
// more.

#include "forge.h"
#include "proto/limits.h"

#define T0 1000000u // when the session came up

static void tick(Forge *forge, uint64_t now)
{
    forge->end.now_us = now;
    mux_session_tick(forge->end.session, now);
    end_drain(&forge->end);
}

static uint64_t deadline(const Forge *forge)
{
    return mux_session_deadline(forge->end.session);
}

static void begin(Forge *forge)
{
    forge_up(forge, MUX_HOST, NULL, NULL);
    g_assert_cmpuint(forge->end.now_us, ==, T0);
    g_assert_cmpuint(MUX_PING_US, ==, 10000000);
    g_assert_cmpuint(deadline(forge), ==, T0 + MUX_PING_US);
}

static void test_answered(void)
{
    Forge forge;
    begin(&forge);
    tick(&forge, T0 + MUX_PING_US - 1);
    forge_expect(&forge, "");
    tick(&forge, T0 + MUX_PING_US);
    forge_expect(&forge, "PING 1\n");
    g_assert_cmpuint(deadline(&forge), ==, T0 + 2 * MUX_PING_US);
    tick(&forge, T0 + MUX_PING_US + 250);
    forge_expect(&forge, ""); // asked once
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    g_assert_cmpuint(end_info(&forge.end).rtt_us, ==, 250);
    g_assert_cmpuint(deadline(&forge), ==, T0 + 2 * MUX_PING_US + 250);
    tick(&forge, T0 + 2 * MUX_PING_US + 250);
    forge_expect(&forge, "PING 2\n");
    end_expect(&forge.end, "");
    forge_deinit(&forge);
}

// Any byte is a sign of life: who talks is not asked.
static void test_busy(void)
{
    Forge forge;
    begin(&forge);
    for (unsigned i = 1; i <= 20; i++) {
        tick(&forge, T0 + i * (MUX_PING_US - 1));
        forge_number(&forge, MUX_FRAME_ACK, 0, 0);
    }
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

static void test_silent(void)
{
    Forge forge;
    begin(&forge);
    tick(&forge, T0 + MUX_PING_US);
    tick(&forge, T0 + 2 * MUX_PING_US - 1);
    end_expect(&forge.end, "");
    g_assert_false(end_info(&forge.end).silent);
    tick(&forge, T0 + 2 * MUX_PING_US);
    end_expect(&forge.end, "SILENT\n");
    g_assert_true(end_info(&forge.end).silent);
    // Told once, however long it lasts, and nothing else happens: it may be a paused VM.
    g_assert_cmpuint(deadline(&forge), ==, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++)
        tick(&forge, T0 + (3 + i) * (uint64_t)MUX_PING_US);
    end_expect(&forge.end, "");
    forge_expect(&forge, "PING 1\n");
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_deinit(&forge);
}

static void test_heard_again(void)
{
    Forge forge;
    begin(&forge);
    forge_open(&forge, 1, 0, "a");
    tick(&forge, T0 + MUX_PING_US);
    tick(&forge, T0 + 2 * MUX_PING_US);
    tick(&forge, T0 + 3600u * 1000000ull); // an hour
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    end_expect(&forge.end, "OPEN 1 a\nSILENT\nHEARD\n");
    g_assert_false(end_info(&forge.end).silent);
    g_assert_cmpuint(end_info(&forge.end).channels, ==, 1);
    forge_expect(&forge, "PING 1\n");
    uint64_t now = forge.end.now_us;
    g_assert_cmpuint(deadline(&forge), ==, now + MUX_PING_US);
    tick(&forge, now + MUX_PING_US);
    forge_expect(&forge, "PING 2\n");
    forge_deinit(&forge);
}

// It talks, though it does not answer: that is enough, and it is asked again after the next
// silence.
static void test_not_answered(void)
{
    Forge forge;
    begin(&forge);
    tick(&forge, T0 + MUX_PING_US);
    forge_expect(&forge, "PING 1\n");
    tick(&forge, T0 + MUX_PING_US + 1000);
    forge_number(&forge, MUX_FRAME_ACK, 0, 0);
    tick(&forge, T0 + 2 * MUX_PING_US);
    g_assert_cmpuint(deadline(&forge), ==, T0 + 2 * MUX_PING_US + 1000);
    tick(&forge, T0 + 2 * MUX_PING_US + 1000);
    forge_expect(&forge, "PING 2\n");
    end_expect(&forge.end, "");
    forge_deinit(&forge);
}

// A PONG of a nonce that was not sent, or one too many, means nothing.
static void test_wrong_pong(void)
{
    Forge forge;
    begin(&forge);
    forge_number(&forge, MUX_FRAME_PONG, 0, 0);
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    tick(&forge, T0 + MUX_PING_US);
    forge_number(&forge, MUX_FRAME_PONG, 0, 0);
    forge_number(&forge, MUX_FRAME_PONG, 0, 2);
    forge_number(&forge, MUX_FRAME_PONG, 0, UINT64_MAX);
    g_assert_cmpuint(end_info(&forge.end).rtt_us, ==, 0);
    tick(&forge, T0 + MUX_PING_US + 7);
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    tick(&forge, T0 + MUX_PING_US + 9);
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    g_assert_cmpuint(end_info(&forge.end).rtt_us, ==, 7);
    forge_deinit(&forge);
}

// The clock stands still, or jumps by an hour, between two ticks.
static void test_jump(void)
{
    Forge forge;
    begin(&forge);
    for (unsigned i = 0; i < 10; i++)
        tick(&forge, T0);
    forge_expect(&forge, "");
    tick(&forge, T0 + 3600u * 1000000ull);
    end_expect(&forge.end, ""); // it was not even asked
    forge_expect(&forge, "PING 1\n");
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    end_expect(&forge.end, "");
    forge_deinit(&forge);
}

// What was said on a channel and got no echo at all may be lost: the peer is asked soon, once, and
// its answer to that asks for nothing again.
static void test_soon(void)
{
    Forge forge;
    begin(&forge);
    forge_open(&forge, 1, 0, "a");
    tick(&forge, T0 + 100);
    mux_channel_accept(end_channel(&forge.end, 1), NULL);
    (void)forge_listen(&forge);
    g_string_truncate(forge.said, 0);
    g_assert_cmpuint(deadline(&forge), ==, T0 + 100 + MUX_PING_SOON_US);
    tick(&forge, T0 + 100 + MUX_PING_SOON_US - 1);
    forge_expect(&forge, "");
    tick(&forge, T0 + 100 + MUX_PING_SOON_US);
    forge_expect(&forge, "PING 1\n");
    forge_number(&forge, MUX_FRAME_PONG, 0, 1);
    g_assert_cmpuint(deadline(&forge), ==, forge.end.now_us + MUX_PING_US);
    end_expect(&forge.end, "OPEN 1 a\n");
    forge_deinit(&forge);
}

static void test_pair(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    for (unsigned i = 0; i < 50; i++) {
        pair_sleep(&pair, MUX_PING_US / 3);
        pair_settle(&pair);
    }
    end_expect(&pair.guest, "");
    end_expect(&pair.host, "");
    pair_deinit(&pair);
}

// Before there is a session, the greeting is said again; while the port takes nothing, one of them
// waits.
static void test_greeting(void)
{
    End end;
    end_init(&end, MUX_GUEST, NULL);
    end_start(&end, GUEST_ID);
    const guint greeting = MUX_FRAME_MAX + MUX_HELLO_SIZE;
    for (unsigned i = 0; i < 5; i++) {
        g_autoptr(GByteArray) out = end_output(&end);
        g_assert_cmpuint(out->len, ==, greeting);
        mux_session_tick(end.session, mux_session_deadline(end.session) - 1);
        g_autoptr(GByteArray) early = end_output(&end);
        g_assert_cmpuint(early->len, ==, 0);
        for (unsigned k = 0; k <= i; k++)
            mux_session_tick(end.session, mux_session_deadline(end.session));
    }
    end_expect(&end, "");
    end_deinit(&end);
}

// The pauses between greetings grow, so that a pipe slower than the first comes through too.
static void test_pauses(void)
{
    static const uint64_t pauses_us[] = {500000,  1000000,  2000000, 4000000,
                                         8000000, 10000000, 10000000};
    End end;
    end_init(&end, MUX_HOST, NULL);
    end_start(&end, HOST_ID);
    uint64_t now = end.now_us;
    for (unsigned i = 0; i < G_N_ELEMENTS(pauses_us); i++) {
        g_autoptr(GByteArray) out = end_output(&end);
        g_assert_cmpuint(out->len, ==, MUX_FRAME_MAX + MUX_HELLO_SIZE);
        g_assert_cmpuint(mux_session_deadline(end.session), ==, now + pauses_us[i]);
        now += pauses_us[i];
        mux_session_tick(end.session, now);
    }
    end_deinit(&end);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/liveness/answered", test_answered);
    g_test_add_func("/liveness/busy", test_busy);
    g_test_add_func("/liveness/silent", test_silent);
    g_test_add_func("/liveness/soon", test_soon);
    g_test_add_func("/liveness/heard-again", test_heard_again);
    g_test_add_func("/liveness/not-answered", test_not_answered);
    g_test_add_func("/liveness/wrong-pong", test_wrong_pong);
    g_test_add_func("/liveness/jump", test_jump);
    g_test_add_func("/liveness/pair", test_pair);
    g_test_add_func("/liveness/greeting", test_greeting);
    g_test_add_func("/liveness/pauses", test_pauses);
    return g_test_run();
}
