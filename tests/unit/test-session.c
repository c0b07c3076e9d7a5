// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// session.c: the same conversation, however the port splits its bytes, gives the same events; and
// the outer edges of a session's life.

#include "script.h"

#include <string.h>

#include "proto/frame.h"
#include "proto/limits.h"

// --- a conversation, and how its bytes arrive

// Both ends' bytes arrive `chunk` at a time (0: all), and are split once at `cut`. Returns how many
// bytes the guest was fed, the host's in *ret_host.
static uint64_t converse(size_t chunk, uint64_t cut, uint64_t *ret_host)
{
    Pair pair;
    pair_init(&pair, &script_limits, &script_limits);
    pair.guest.chunk = pair.host.chunk = chunk;
    pair.guest.cut = pair.host.cut = cut;
    pair_up(&pair);
    script_run(&pair);
    end_expect(&pair.guest, script_guest_log);
    end_expect(&pair.host, script_host_log);
    uint64_t fed = pair.guest.heard->len;
    *ret_host = pair.host.heard->len;
    pair_deinit(&pair);
    return fed;
}

static void test_whole(void)
{
    uint64_t host, guest = converse(0, UINT64_MAX, &host);
    // The pad of zeros, and then some: or else the next tests would try nothing.
    g_assert_cmpuint(guest, >, MUX_FRAME_MAX + 500);
    g_assert_cmpuint(host, >, MUX_FRAME_MAX + 1200);
}

// Which types are among the frames that follow the last HELLO.
static unsigned types_in(const GByteArray *heard)
{
    const uint8_t *p = heard->data, *end = p + heard->len;
    unsigned types = 0;
    MuxHello hello;
    MuxFrame frame;
    size_t used;

    while (mux_hello_find(p, (size_t)(end - p), &hello, &used) == 0)
        p += used;
    for (; p < end; p += mux_frame_size(frame.length)) {
        g_assert_cmpint(mux_frame_decode(p, mux_frame_key(GUEST_ID, HOST_ID), &frame), ==, 0);
        types |= 1u << frame.type;
    }
    return types;
}

// The conversation has every type of frame in it, but for those that time and length bring.
static void test_complete(void)
{
    Pair pair;
    pair_init(&pair, &script_limits, &script_limits);
    pair_up(&pair);
    script_run(&pair);
    unsigned others =
        1u << MUX_FRAME_HELLO | 1u << MUX_FRAME_PING | 1u << MUX_FRAME_PONG | 1u << MUX_FRAME_ACK;
    unsigned all = (1u << MUX_FRAME_TYPES) - 2;
    g_assert_cmphex(types_in(pair.guest.heard) | types_in(pair.host.heard) | others, ==, all);
    pair_deinit(&pair);
}

static void test_each_byte(void)
{
    uint64_t host;
    converse(1, UINT64_MAX, &host);
}

static void test_chunks(void)
{
    uint64_t host;
    for (size_t chunk = 2; chunk < 50; chunk++)
        converse(chunk, UINT64_MAX, &host);
}

static void test_each_split(void)
{
    uint64_t host, guest = converse(0, UINT64_MAX, &host);
    for (uint64_t cut = MUX_FRAME_MAX - 40; cut <= MAX(guest, host); cut++) {
        uint64_t host_again;
        g_assert_cmpuint(converse(0, cut, &host_again), ==, guest);
        g_assert_cmpuint(host_again, ==, host);
    }
}

// --- life

static void test_states(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    g_assert_cmpstr(end_info(&pair.guest).state, ==, "down");
    g_assert_false(mux_session_is_started(pair.guest.session));
    g_assert_cmpuint(mux_session_deadline(pair.guest.session), ==, UINT64_MAX);

    end_start(&pair.guest, GUEST_ID);
    g_assert_cmpstr(end_info(&pair.guest).state, ==, "greeting");
    g_assert_true(mux_session_is_started(pair.guest.session));
    g_assert_false(mux_session_is_up(pair.guest.session));
    g_assert_null(end_open(&pair.guest, "early"));

    pair_up(&pair);
    MuxSessionInfo info = end_info(&pair.guest);
    g_assert_cmpstr(info.state, ==, "up");
    g_assert_cmpuint(info.id, ==, GUEST_ID);
    g_assert_cmpuint(info.peer_id, ==, HOST_ID);
    g_assert_cmpuint(info.version, ==, 1);
    g_assert_cmpuint(info.features, ==, MUX_FEATURES);
    g_assert_cmpuint(info.sessions, ==, 1);
    g_assert_cmpuint(info.budget, ==, MUX_BUDGET_DEFAULT);
    g_assert_cmpuint(info.budget_used, ==, 0);
    pair_deinit(&pair);
}

static void test_stop(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = true;
    mux_session_stop(pair.guest.session); // not even started
    end_drain(&pair.guest);
    end_expect(&pair.guest, "");
    pair_up(&pair);
    end_open(&pair.guest, "a");
    end_open(&pair.guest, "b");
    pair_settle(&pair);
    end_open(&pair.guest, "c"); // its OPEN is not out
    end_forget(&pair.guest);

    mux_session_stop(pair.guest.session);
    g_assert_cmpstr(end_info(&pair.guest).state, ==, "down");
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 0);
    end_drain(&pair.guest);
    for (unsigned id = 1; id <= 5; id += 2) {
        g_autofree char *line = g_strdup_printf("RESET %u link-down\n", id);
        g_assert_nonnull(strstr(pair.guest.log->str, line));
    }
    g_assert_true(g_str_has_suffix(pair.guest.log->str, "\nDOWN port\n"));
    g_assert_cmpuint(pair.guest.log->len, ==, 3 * strlen("RESET 1 link-down\n") + 10);
    mux_session_stop(pair.guest.session);
    end_forget(&pair.guest);
    end_drain(&pair.guest);
    end_expect(&pair.guest, "");

    const uint8_t *base;
    g_assert_cmpuint(mux_session_output(pair.guest.session, &base), ==, 0);
    pair_deinit(&pair);
}

// Calls on a channel that is dead have no effect, whichever they are.
static void test_dead_channel(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = true;
    pair_up(&pair);
    MuxChannel *channel = end_open(&pair.guest, "a");
    pair_settle(&pair);
    end_write(&pair.host, end_channel(&pair.host, 1), "data", 4);
    pair_settle(&pair);
    mux_session_stop(pair.guest.session);

    mux_channel_ready(channel);
    mux_channel_fin(channel);
    mux_channel_stop(channel);
    mux_channel_accept(channel, NULL);
    mux_channel_consumed(channel, 4);
    MuxChannelInfo info;
    mux_channel_info(channel, &info);
    g_assert_cmpstr(info.state, ==, "dead");
    MuxTurn turn;
    g_assert_false(mux_session_next_turn(pair.guest.session, &turn));
    end_close(&pair.guest, channel, MUX_CODE_CLOSED);
    end_drain(&pair.guest);
    // It was closed before it was told of its death: nobody is there to be told.
    end_expect(&pair.guest, "ACCEPT 1\nDATA 1 data\nDOWN port\n");
    pair_deinit(&pair);
}

// A new session on the same objects: ids begin anew, and channels that are still held are not in
// it.
static void test_again(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = true;
    for (unsigned round = 1; round <= 3; round++) {
        pair_up(&pair);
        MuxChannel *channel = end_open(&pair.guest, "a");
        g_assert_cmpuint(channel_id(channel), ==, 1);
        pair_settle(&pair);
        g_assert_cmpuint(end_info(&pair.guest).sessions, ==, round);
        mux_session_stop(pair.guest.session);
        mux_session_stop(pair.host.session);
        end_drain(&pair.guest);
        end_drain(&pair.host);
        end_expect(&pair.guest, "ACCEPT 1\nRESET 1 link-down\nDOWN port\n");
        end_expect(&pair.host, "OPEN 1 a\nRESET 1 link-down\nDOWN port\n");
        end_close(&pair.guest, channel, MUX_CODE_CLOSED);
        end_close(&pair.host, end_channel(&pair.host, 1), MUX_CODE_CLOSED);
    }
    pair_deinit(&pair);
}

// What each end counts is counted anew, too: or else the first ACK of a new session would be of
// bytes of the old one.
static void test_counts_again(void)
{
    static const char bytes[10000];
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = pair.host.consumes = true;
    for (unsigned round = 0; round < 4; round++) {
        pair_up(&pair);
        g_assert_cmpuint(end_info(&pair.host).received, ==, 0);
        MuxChannel *channel = end_open(&pair.guest, "a");
        pair_settle(&pair);
        for (unsigned i = 0; i < 6 + round; i++) {
            g_assert_cmpuint(end_write(&pair.guest, channel, bytes, sizeof(bytes)), ==, 10000);
            pair_settle(&pair);
        }
        g_assert_true(mux_session_is_up(pair.guest.session));
        mux_session_stop(pair.guest.session);
        mux_session_stop(pair.host.session);
        end_drain(&pair.guest);
        end_drain(&pair.host);
        end_forget(&pair.guest);
        end_forget(&pair.host);
        end_close(&pair.guest, channel, MUX_CODE_CLOSED);
        end_close(&pair.host, end_channel(&pair.host, 1), MUX_CODE_CLOSED);
    }
    pair_deinit(&pair);
}

// Half a HELLO of a port that is gone and half of one of the next port are no HELLO.
static void test_stop_forgets(void)
{
    End host;
    uint8_t base[MUX_HELLO_SIZE];
    mux_hello_encode(base, &(MuxHello){.version_min = 1,
                                       .version_max = 1,
                                       .role = MUX_GUEST,
                                       .id = GUEST_ID,
                                       .echo = HOST_ID});
    for (unsigned stops = 0; stops < 2; stops++) {
        end_init(&host, MUX_HOST, NULL);
        end_start(&host, HOST_ID);
        end_feed(&host, base, 40);
        if (stops) {
            mux_session_stop(host.session);
            end_start(&host, HOST_ID);
        }
        end_feed(&host, base + 40, 40);
        end_expect(&host, stops ? "" : "UP\n");
        end_deinit(&host);
    }
}

static void test_free_nothing(void)
{
    g_assert_null(mux_session_free(NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/bytes/whole", test_whole);
    g_test_add_func("/session/bytes/complete", test_complete);
    g_test_add_func("/session/bytes/one-at-a-time", test_each_byte);
    g_test_add_func("/session/bytes/chunks", test_chunks);
    g_test_add_func("/session/bytes/each-split", test_each_split);
    g_test_add_func("/session/states", test_states);
    g_test_add_func("/session/stop", test_stop);
    g_test_add_func("/session/dead-channel", test_dead_channel);
    g_test_add_func("/session/again", test_again);
    g_test_add_func("/session/counts-again", test_counts_again);
    g_test_add_func("/session/stop-forgets", test_stop_forgets);
    g_test_add_func("/session/free-nothing", test_free_nothing);
    return g_test_run();
}
