// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Two sessions joined in memory: the shortest way through each state.

#include <glib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/session.h"

typedef struct Pair {
    MuxSession *guest, *host;
} Pair;

static void carry(MuxSession *from, MuxSession *to)
{
    const uint8_t *out;
    uint8_t *in;
    size_t n = mux_session_output(from, &out);
    size_t space = mux_session_input(to, &in);
    n = MIN(n, space);
    memcpy(in, out, n);
    mux_session_output_done(from, n);
    mux_session_input_done(to, n, 1000);
}

static MuxEvent expect(MuxSession *session, MuxEventType type)
{
    MuxEvent event;
    mux_session_next_event(session, &event);
    g_assert_cmpint(event.type, ==, type);
    return event;
}

static void pair_up(Pair *pair)
{
    g_assert_cmpint(mux_session_new(MUX_GUEST, NULL, &pair->guest), ==, 0);
    g_assert_cmpint(mux_session_new(MUX_HOST, NULL, &pair->host), ==, 0);
    mux_session_start(pair->guest, 0x1111, 1);
    mux_session_start(pair->host, 0x2222, 1);
    for (int i = 0; i < 6; i++) {
        MuxEvent event;
        carry(pair->guest, pair->host);
        if (mux_session_next_event(pair->host, &event))
            g_assert_cmpint(event.type, ==, MUX_EVENT_UP);
        carry(pair->host, pair->guest);
        if (mux_session_next_event(pair->guest, &event))
            g_assert_cmpint(event.type, ==, MUX_EVENT_UP);
    }
    g_assert_true(mux_session_is_up(pair->guest));
    g_assert_true(mux_session_is_up(pair->host));
}

static void pair_down(Pair *pair)
{
    mux_session_free(pair->guest);
    mux_session_free(pair->host);
}

static void give(MuxSession *session, MuxChannel *channel, const char *text)
{
    MuxTurn turn;
    mux_channel_ready(channel);
    g_assert_true(mux_session_next_turn(session, &turn));
    g_assert_true(turn.channel == channel);
    memcpy(turn.base, text, strlen(text));
    mux_session_turn_done(session, &turn, strlen(text), false);
}

static void test_talk(void)
{
    Pair p;
    MuxChannel *a, *b;
    pair_up(&p);

    g_assert_cmpint(mux_session_open(p.guest, "echo", 4, &p, &a), ==, 0);
    carry(p.guest, p.host);
    MuxEvent event = expect(p.host, MUX_EVENT_OPEN);
    g_assert_cmpmem(event.data, event.size, "echo", 4);
    b = event.channel;
    mux_channel_accept(b, &p);
    carry(p.host, p.guest);
    event = expect(p.guest, MUX_EVENT_ACCEPT);
    g_assert_true(event.channel == a && event.user == &p);

    give(p.guest, a, "hello");
    mux_channel_fin(a);
    carry(p.guest, p.host);
    event = expect(p.host, MUX_EVENT_DATA);
    g_assert_cmpmem(event.data, event.size, "hello", 5);
    mux_channel_consumed(b, 5);
    expect(p.host, MUX_EVENT_FIN);

    give(p.host, b, "world");
    mux_channel_fin(b);
    carry(p.host, p.guest);
    event = expect(p.guest, MUX_EVENT_DATA);
    g_assert_cmpmem(event.data, event.size, "world", 5);
    expect(p.guest, MUX_EVENT_FIN);
    expect(p.guest, MUX_EVENT_NONE);
    mux_channel_close(a, MUX_CODE_CLOSED);
    mux_channel_close(b, MUX_CODE_CLOSED);
    carry(p.guest, p.host);
    expect(p.host, MUX_EVENT_NONE);

    MuxSessionInfo info;
    mux_session_info(p.guest, &info);
    g_assert_cmpint(info.channels, ==, 0);
    mux_session_info(p.host, &info);
    g_assert_cmpint(info.channels, ==, 0);
    g_assert_cmpint(info.budget_used, ==, 0);
    pair_down(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/talk", test_talk);
    return g_test_run();
}
