// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// channel.c: what a channel's owner does, and the frames that come of it.

#include <string.h>

#include "forge.h"
#include "proto/channel.h"
#include "proto/limits.h"
#include "proto/session-private.h"

#define FLOOR 1024 // of the default budget and limits

static const char *state_of(const MuxChannel *channel)
{
    MuxChannelInfo info;
    mux_channel_info(channel, &info);
    return info.state;
}

// The guest's channel 1, open, with this much credit; nothing of it is left in said or log.
static MuxChannel *open_channel(Forge *forge, uint64_t credit)
{
    forge_up(forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = end_open(&forge->end, "a");
    forge_expect(forge, "OPEN 1 16384 a\n");
    forge_accept(forge, 1, credit);
    end_expect(&forge->end, "ACCEPT 1\n");
    return channel;
}

static void test_info(void)
{
    Forge forge;
    MuxChannelInfo info;
    MuxChannel *channel = open_channel(&forge, 100);
    end_write(&forge.end, channel, "hello", 5);
    forge_data(&forge, 1, 50);
    mux_channel_consumed(channel, 20);
    mux_channel_info(channel, &info);
    g_assert_cmpuint(info.id, ==, 1);
    g_assert_cmpstr(info.state, ==, "open");
    g_assert_true(info.ours);
    g_assert_cmpuint(info.sent, ==, 5);
    g_assert_cmpuint(info.received, ==, 50);
    g_assert_cmpuint(info.consumed, ==, 20);
    g_assert_cmpuint(info.credit, ==, 95);
    g_assert_cmpuint(info.window, ==, 16384 - 50);
    forge_open(&forge, 2, 0, "b");
    mux_channel_info(end_channel(&forge.end, 2), &info);
    g_assert_false(info.ours);
    g_assert_cmpstr(info.state, ==, "asked");
    forge_deinit(&forge);
}

// Data, then FIN, in one batch and in this order; once.
static void test_fin(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    end_write(&forge.end, channel, "hello", 5);
    mux_channel_fin(channel);
    mux_channel_fin(channel);
    mux_channel_ready(channel); // too late
    MuxTurn turn;
    g_assert_false(mux_session_next_turn(forge.end.session, &turn));
    forge_expect(&forge, "DATA 1 hello\nFIN 1\n");
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    end_expect(&forge.end, "FIN 1\n");
    g_assert_cmpstr(state_of(channel), ==, "closed");
    end_close(&forge.end, channel, MUX_CODE_CLOSED);
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

// Both directions are at their ends: there is nothing to reset. The FIN still goes out.
static void test_close_after_fins(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    end_write(&forge.end, channel, "bye", 3);
    mux_channel_fin(channel);
    end_close(&forge.end, channel, MUX_CODE_CLOSED);
    g_assert_cmpuint(end_info(&forge.end).channels, ==, 1);
    forge_expect(&forge, "DATA 1 bye\nFIN 1\n");
    g_assert_cmpuint(end_info(&forge.end).channels, ==, 0);
    g_assert_cmpuint(end_info(&forge.end).budget_used, ==, 0);
    forge_deinit(&forge);
}

// Whichever direction is still open.
static void test_close_half(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    mux_channel_fin(channel);
    end_close(&forge.end, channel, MUX_CODE_TIMEOUT);
    forge_expect(&forge, "RESET 1 timeout\n"); // FIN became pointless
    forge_deinit(&forge);

    channel = open_channel(&forge, 100);
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    end_close(&forge.end, channel, MUX_CODE_CLOSED);
    forge_expect(&forge, "RESET 1 closed\n");
    forge_deinit(&forge);
}

static void test_refuse(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    for (unsigned code = 0; code < MUX_CODES; code++) {
        uint32_t id = 2 * code + 1;
        g_autofree char *text = g_strdup_printf("RESET %u %s\n", id, mux_code_name(code));
        forge_open(&forge, id, 0, "a");
        end_close(&forge.end, end_channel(&forge.end, id), code);
        forge_expect(&forge, text);
    }
    forge_deinit(&forge);
}

// It was given up before the peer heard of it: the peer never does. The id is not used again.
static void test_close_before_open(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    end_close(&forge.end, end_open(&forge.end, "a"), MUX_CODE_CLOSED);
    g_assert_cmpuint(end_info(&forge.end).channels, ==, 0);
    end_open(&forge.end, "b");
    forge_expect(&forge, "OPEN 3 16384 b\n");
    forge_deinit(&forge);
}

static void test_close_opening(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = end_open(&forge.end, "a");
    forge_expect(&forge, "OPEN 1 16384 a\n");
    end_close(&forge.end, channel, MUX_CODE_TIMEOUT);
    forge_expect(&forge, "RESET 1 timeout\n");
    // The answer was under way: it is late, and nothing comes of it.
    forge_accept(&forge, 1, 1000);
    forge_data(&forge, 1, 10);
    end_expect(&forge.end, "");
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

static void test_stop(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    forge_data(&forge, 1, 5);
    mux_channel_stop(channel);
    mux_channel_stop(channel);
    forge_expect(&forge, "STOP 1\n");
    end_forget(&forge.end);
    forge_data(&forge, 1, 16000); // was under way; is thrown away, and gives no credit back
    end_expect(&forge.end, "");
    forge_expect(&forge, "");
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    end_expect(&forge.end, "FIN 1\n");
    mux_channel_consumed(channel, 5); // what came before is still its owner's
    forge_expect(&forge, "");
    g_assert_cmpuint(end_info(&forge.end).budget_used, ==, FLOOR);
    forge_deinit(&forge);
}

// Its reader goes away before it is answered: the peer is told as soon as there is a stream.
static void test_stop_early(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    mux_channel_stop(end_open(&forge.end, "a"));
    forge_expect(&forge, "OPEN 1 16384 a\n");
    forge_accept(&forge, 1, 0);
    forge_expect(&forge, "STOP 1\n");
    forge_open(&forge, 2, 0, "b");
    mux_channel_stop(end_channel(&forge.end, 2));
    forge_expect(&forge, "");
    mux_channel_accept(end_channel(&forge.end, 2), NULL);
    forge_expect(&forge, "ACCEPT 2 16384\nSTOP 2\n");
    forge_deinit(&forge);
}

// STOP is answered with FIN, at once; what was given before goes first.
static void test_stopped_by_peer(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    end_write(&forge.end, channel, "hello", 5);
    mux_channel_ready(channel);
    forge_empty(&forge, MUX_FRAME_STOP, 1);
    end_expect(&forge.end, "STOP 1\n");
    g_assert_cmpstr(state_of(channel), ==, "send-closed");
    MuxTurn turn;
    g_assert_false(mux_session_next_turn(forge.end.session, &turn));
    forge_expect(&forge, "DATA 1 hello\nFIN 1\n");
    forge_deinit(&forge);
}

static void test_user(void)
{
    Forge forge;
    int a = 0, b = 0, c = 0; // for their addresses
    MuxEvent event;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    MuxChannel *ours;
    g_assert_cmpint(
        mux_session_open(forge.end.session,
                         &(MuxOpening){.name = "a", .length = 1, .nonce = nonce_of(2), .user = &a},
                         &ours),
        ==, 0);
    forge_listen(&forge);
    forge_open(&forge, 1, 100, "b");
    MuxChannel *theirs = end_channel(&forge.end, 1);
    mux_channel_accept(theirs, &b);
    mux_channel_ready(theirs);
    MuxTurn turn;
    g_assert_true(mux_session_next_turn(forge.end.session, &turn));
    g_assert_true(turn.user == &b && turn.channel == theirs && turn.size == 100);
    mux_session_turn_done(forge.end.session, &turn, 0, false);
    mux_channel_set_user(theirs, &c);

    mux_session_stop(forge.end.session);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(mux_session_next_event(forge.end.session, &event));
        g_assert_cmpint(event.type, ==, MUX_EVENT_RESET);
        g_assert_true(event.user == (event.channel == ours ? &a : &c));
    }
    mux_channel_close(ours, MUX_CODE_CLOSED);
    forge_deinit(&forge);
}

// After FIN nothing comes any more: what the window held and did not get is free at once.
static void test_fin_frees(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    g_assert_cmpuint(end_info(&forge.end).budget_used, ==, MUX_WINDOW_START);
    forge_data(&forge, 1, 5000);
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    g_assert_cmpuint(end_info(&forge.end).budget_used, ==, 5000);
    mux_channel_consumed(channel, 4999);
    g_assert_cmpuint(end_info(&forge.end).budget_used, ==, FLOOR);
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

// What was to be said about a direction that has ended meanwhile is not said.
static void test_fin_makes_pointless(void)
{
    Forge forge;
    MuxChannel *channel = open_channel(&forge, 100);
    forge_data(&forge, 1, 10000);
    mux_channel_consumed(channel, 10000); // CREDIT
    mux_channel_reclaim(channel);
    mux_channel_stop(channel);
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    forge_expect(&forge, "");
    g_assert_cmpstr(state_of(channel), ==, "recv-closed");
    g_assert_cmpuint(end_write(&forge.end, channel, "still", 5), ==, 5);
    forge_expect(&forge, "DATA 1 still\n");
    forge_deinit(&forge);
}

// Two thousand million channels later.
static void test_last_id(void)
{
    for (unsigned role = MUX_GUEST; role <= MUX_HOST; role++) {
        Forge forge;
        MuxChannel *none;
        forge_up(&forge, role, NULL, NULL);
        uint32_t last = role == MUX_GUEST ? UINT32_MAX - 2 : UINT32_MAX - 3;
        forge.end.session->next_id = last;
        g_assert_cmpuint(channel_id(end_open(&forge.end, "a")), ==, last);
        g_autofree char *log = g_strdup_printf("RESET %u link-down\nDOWN ids\n", last);
        g_assert_cmpint(
            mux_session_open(forge.end.session, &(MuxOpening){.name = "a", .length = 1}, &none), ==,
            MUX_OPEN_DOWN);
        end_drain(&forge.end);
        end_expect(&forge.end, log);
        forge_deinit(&forge);
    }
}

static void test_open_refused(void)
{
    Forge forge;
    MuxChannel *channel = NULL;
    MuxHello few = {.version_min = 1, .version_max = 1, .channels = 2, .pending = 2};
    forge_up(&forge, MUX_GUEST, NULL, &few);
    MuxSession *session = forge.end.session;
    g_assert_cmpint(mux_session_open(session, &(MuxOpening){.name = "-", .length = 1}, &channel),
                    ==, MUX_OPEN_NAME);
    g_assert_cmpint(mux_session_open(session, &(MuxOpening){.name = "a\0", .length = 2}, &channel),
                    ==, MUX_OPEN_NAME);
    g_assert_cmpint(mux_session_open(session, &(MuxOpening){.name = "", .length = 0}, &channel), ==,
                    MUX_OPEN_NAME);
    end_open(&forge.end, "a");
    end_open(&forge.end, "b");
    g_assert_cmpint(mux_session_open(session, &(MuxOpening){.name = "c", .length = 1}, &channel),
                    ==, MUX_OPEN_LIMIT);
    mux_session_stop(session);
    g_assert_cmpint(mux_session_open(session, &(MuxOpening){.name = "c", .length = 1}, &channel),
                    ==, MUX_OPEN_DOWN);
    g_assert_null(channel);
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/calls/info", test_info);
    g_test_add_func("/calls/fin", test_fin);
    g_test_add_func("/calls/fin-frees", test_fin_frees);
    g_test_add_func("/calls/fin-makes-pointless", test_fin_makes_pointless);
    g_test_add_func("/calls/last-id", test_last_id);
    g_test_add_func("/calls/close/after-fins", test_close_after_fins);
    g_test_add_func("/calls/close/half", test_close_half);
    g_test_add_func("/calls/close/refuse", test_refuse);
    g_test_add_func("/calls/close/before-open", test_close_before_open);
    g_test_add_func("/calls/close/opening", test_close_opening);
    g_test_add_func("/calls/stop", test_stop);
    g_test_add_func("/calls/stop-early", test_stop_early);
    g_test_add_func("/calls/stopped-by-peer", test_stopped_by_peer);
    g_test_add_func("/calls/user", test_user);
    g_test_add_func("/calls/open-refused", test_open_refused);
    return g_test_run();
}
