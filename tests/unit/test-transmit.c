// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// transmit.c: what goes out, in which order, and what waits for what.

#include <string.h>

#include "forge.h"
#include "proto/channel.h"
#include "proto/limits.h"

static char much[2 * MUX_FLIGHT_MAX];

static MuxChannel *accepted(Forge *forge, uint64_t credit)
{
    MuxChannel *channel = end_open(&forge->end, "a");
    forge_listen(forge);
    forge_accept(forge, channel_id(channel), credit);
    g_string_truncate(forge->said, 0);
    return channel;
}

// Writes as long as it is given turns and the port takes it, which is for ever.
static uint64_t write_all(Forge *forge, MuxChannel *channel)
{
    uint64_t total = 0;
    size_t n;
    while ((n = end_write(&forge->end, channel, much, sizeof(much))) > 0) {
        total += n;
        forge_listen(forge);
    }
    g_string_truncate(forge->said, 0);
    return total;
}

// Writes so much, and has no more.
static void write_one(Forge *forge, MuxChannel *channel, size_t n)
{
    g_assert_cmpuint(end_write(&forge->end, channel, much, n), ==, n);
    forge_listen(forge);
}

// The peer has read all but so many bytes.
static void acknowledge(Forge *forge, uint64_t but)
{
    forge_number(forge, MUX_FRAME_ACK, 0, end_info(&forge->end).sent - but);
}

static void test_flight(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = accepted(&forge, MUX_CREDIT_MAX);
    uint64_t before = end_info(&forge.end).sent;
    uint64_t bytes = write_all(&forge, channel);
    uint64_t flight = end_info(&forge.end).in_flight;
    g_assert_cmpuint(bytes, ==, MUX_FLIGHT_MAX / MUX_FRAME_MAX * MUX_PAYLOAD_MAX);
    g_assert_cmpuint(forge.asked, ==, 2);
    g_assert_cmpuint(flight, >=, MUX_FLIGHT_MAX);
    g_assert_cmpuint(flight, <, MUX_FLIGHT_MAX + MUX_FRAME_MAX);

    // Control goes out all the same: opens, credit, PONG, RESET.
    forge_number(&forge, MUX_FRAME_PING, 0, 7);
    end_open(&forge.end, "b");
    forge_data(&forge, 1, 16384);
    mux_channel_consumed(channel, 16384);
    forge_expect(&forge, "PONG 7\nCREDIT 1 81920\nOPEN 3 16384 b\n");
    g_assert_cmpuint(write_all(&forge, channel), ==, 0);

    // An ACK frees as much as it says.
    forge_number(&forge, MUX_FRAME_ACK, 0, before + 2 * MUX_FRAME_MAX);
    bytes = write_all(&forge, channel);
    g_assert_cmpuint(bytes, >=, 2 * MUX_PAYLOAD_MAX);
    g_assert_cmpuint(bytes, <=, 3 * MUX_PAYLOAD_MAX);
    forge_deinit(&forge);
}

// A bulk transfer that has all in flight that it may, and a channel that was quiet.
static void begin_beside(Forge *forge, MuxChannel **ret_bulk, MuxChannel **ret_quiet)
{
    forge_up(forge, MUX_GUEST, NULL, NULL);
    *ret_bulk = accepted(forge, MUX_CREDIT_MAX);
    *ret_quiet = end_open(&forge->end, "b");
    forge_listen(forge);
    forge_accept(forge, channel_id(*ret_quiet), MUX_CREDIT_MAX);
    write_all(forge, *ret_bulk);
}

// It takes as much as it may, and that is all that there may be.
static void expect_full(Forge *forge, MuxChannel *bulk, uint64_t most)
{
    write_all(forge, bulk);
    g_assert_cmpuint(end_info(&forge->end).in_flight, >=, most);
    g_assert_cmpuint(end_info(&forge->end).in_flight, <, most + MUX_FRAME_MAX);
}

static void pass_time(Forge *forge, uint64_t us)
{
    forge->end.now_us += us;
    mux_session_tick(forge->end.session, forge->end.now_us);
}

// A quiet channel's message makes the bulk transfer that moves beside it keep less in flight, for a
// while.
static void test_message(void)
{
    Forge forge;
    MuxChannel *bulk, *quiet;
    begin_beside(&forge, &bulk, &quiet);
    acknowledge(&forge, MUX_FLIGHT_BESIDE);
    end_write(&forge.end, quiet, "x", 1);
    g_assert_cmpuint(write_all(&forge, bulk), ==, 0);
    acknowledge(&forge, MUX_FLIGHT_BESIDE / 2);
    expect_full(&forge, bulk, MUX_FLIGHT_BESIDE);
    pass_time(&forge, MUX_BESIDE_US - 1);
    g_assert_cmpuint(write_all(&forge, bulk), ==, 0);
    pass_time(&forge, 1);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);

    // On a slow port the bulk transfer rests, too, but only until the next ACK.
    pass_time(&forge, MUX_BULK_US);
    acknowledge(&forge, MUX_FLIGHT_MAX / 2);
    end_write(&forge.end, quiet, "x", 1);
    g_assert_cmpuint(write_all(&forge, bulk), ==, 0);

    // The same when that ACK is the only one, and for both of them.
    acknowledge(&forge, 0);
    expect_full(&forge, bulk, MUX_FLIGHT_BESIDE);
    pass_time(&forge, MUX_BESIDE_US - 1);
    acknowledge(&forge, 0);
    end_write(&forge.end, quiet, "x", 1);
    expect_full(&forge, bulk, MUX_FLIGHT_BESIDE);
    pass_time(&forge, 1);
    g_assert_cmpuint(write_all(&forge, bulk), ==, 0);
    forge_deinit(&forge);
}

// What is in flight then may take long to be read. The while begins afterwards.
static void test_message_slow(void)
{
    Forge forge;
    MuxChannel *bulk, *quiet;
    begin_beside(&forge, &bulk, &quiet);
    acknowledge(&forge, MUX_FLIGHT_MAX / 2);
    end_write(&forge.end, quiet, "x", 1);
    for (unsigned i = 0; i < 3; i++) {
        pass_time(&forge, MUX_BESIDE_US);
        g_assert_cmpuint(write_all(&forge, bulk), ==, 0);
    }
    acknowledge(&forge, 0);
    expect_full(&forge, bulk, MUX_FLIGHT_BESIDE);
    pass_time(&forge, MUX_BESIDE_US - 1);
    g_assert_cmpuint(write_all(&forge, bulk), ==, 0);
    pass_time(&forge, 1);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);
    forge_deinit(&forge);
}

// What goes before there is any bulk, or when it has rested for a while.
static void test_message_alone(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *bulk = accepted(&forge, MUX_CREDIT_MAX);
    MuxChannel *quiet = end_open(&forge.end, "b");
    forge_listen(&forge);
    forge_accept(&forge, channel_id(quiet), MUX_CREDIT_MAX);
    end_write(&forge.end, quiet, "x", 1);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);

    acknowledge(&forge, 0);
    pass_time(&forge, MUX_BULK_US);
    write_one(&forge, quiet, 1);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);
    forge_deinit(&forge);
}

static void test_no_message(void)
{
    Forge forge;
    MuxChannel *bulk, *quiet;
    begin_beside(&forge, &bulk, &quiet);
    // The bulk transfer's own last pieces, even where it is ahead with them.
    acknowledge(&forge, MUX_FLIGHT_BESIDE / 2);
    write_one(&forge, bulk, MUX_PAYLOAD_MAX / 2);
    write_one(&forge, bulk, 1);
    write_one(&forge, bulk, 1);
    // What a channel has to say that has just had its turn, and more.
    write_one(&forge, quiet, MUX_PAYLOAD_MAX);
    write_one(&forge, quiet, MUX_PAYLOAD_MAX);
    write_one(&forge, bulk, MUX_PAYLOAD_MAX / 2);
    write_one(&forge, quiet, 1);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);

    // The beginning of much, for which the batch had little room.
    MuxTurn turn;
    acknowledge(&forge, MUX_FLIGHT_BESIDE);
    mux_channel_ready(quiet);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(mux_session_next_turn(forge.end.session, &turn));
        g_assert_true(turn.channel == quiet);
        memset(turn.base, 'x', turn.size);
        mux_session_turn_done(forge.end.session, &turn, i == 0 ? 64 : turn.size, i == 0);
    }
    forge_listen(&forge);
    expect_full(&forge, bulk, MUX_FLIGHT_MAX);
    forge_deinit(&forge);
}

// Seven frames ask for nothing; then a message makes room, and asks, so that the others go on.
static void test_room_is_made(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = pair.host.consumes = true;
    pair_up(&pair);
    MuxChannel *bulk = end_open(&pair.guest, "a"), *quiet = end_open(&pair.guest, "b");
    pair_settle(&pair);
    size_t sent = 0;
    while (sent < 7 * MUX_PAYLOAD_MAX) {
        sent += end_write(&pair.guest, bulk, much, MIN(16384, 7 * MUX_PAYLOAD_MAX - sent));
        pair_settle(&pair);
    }
    g_assert_cmpuint(end_info(&pair.guest).in_flight, >, MUX_FLIGHT_BESIDE);
    g_assert_cmpuint(end_write(&pair.guest, quiet, "x", 1), ==, 1);
    g_assert_cmpuint(end_write(&pair.guest, bulk, much, 1000), ==, 0);
    pair_settle(&pair);
    g_assert_cmpuint(end_write(&pair.guest, bulk, much, 1000), ==, 1000);
    pair_deinit(&pair);
}

// However many bytes: the sender asks in time, so it never waits for an ACK that is not due, and at
// the end of each batch nothing is stuck.
static void test_acks(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = pair.host.consumes = true;
    pair_up(&pair);
    MuxChannel *channel = end_open(&pair.guest, "a");
    pair_settle(&pair);
    uint64_t sent = 0;
    while (sent < 20u << 20) {
        size_t n = end_write(&pair.guest, channel, much, 100000);
        sent += n;
        size_t carried = pair_carry(&pair.guest, &pair.host) + pair_carry(&pair.host, &pair.guest);
        g_assert_cmpuint(n + carried, >, 0);
        g_assert_cmpuint(end_info(&pair.guest).in_flight, <, MUX_FLIGHT_MAX + MUX_FRAME_MAX);
        end_forget(&pair.host);
    }
    pair_settle(&pair);
    g_assert_cmpuint(pair.host.taken, ==, sent);
    g_assert_cmpuint(end_info(&pair.guest).in_flight, <, MUX_FLIGHT_MAX / 2);
    pair_deinit(&pair);
}

// HELLO aside: session frames, control frames of channels, data. Of one channel, in the order in
// which the other end can take them.
static void test_order(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = accepted(&forge, 1000);
    forge_open(&forge, 2, 1000, "b");
    forge_number(&forge, MUX_FRAME_PING, 0, 9);
    forge_data(&forge, 1, 16384);
    mux_channel_stop(channel);
    mux_channel_consumed(channel, 16384);
    MuxChannel *other = end_channel(&forge.end, 2);
    mux_channel_accept(other, NULL);
    mux_channel_reclaim(other);
    mux_session_tick(forge.end.session, forge.end.now_us + MUX_PING_US);
    end_open(&forge.end, "c");
    g_assert_cmpuint(end_write(&forge.end, channel, "data", 4), ==, 4);
    mux_channel_fin(channel);
    forge_expect(&forge, "PING 1\nPONG 9\n"
                         "STOP 1\n"
                         "ACCEPT 2 16384\nRECLAIM 2\n"
                         "OPEN 3 16384 c\n"
                         "DATA 1 data\nFIN 1\n");
    forge_deinit(&forge);
}

// What happens many times between two writes is said once, with the value of the moment.
static void test_coalesced(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = accepted(&forge, 1000);
    forge_data(&forge, 1, 16384);
    for (unsigned i = 0; i < 16384; i++)
        mux_channel_consumed(channel, 1);
    for (unsigned i = 0; i < 1000; i++) {
        forge_number(&forge, MUX_FRAME_PING, 0, i);
        forge_empty(&forge, MUX_FRAME_RECLAIM, 1);
    }
    forge_expect(&forge, "PONG 999\nCREDIT 1 81920\nRETURN 1 0\n");
    forge_deinit(&forge);
}

// A batch is at most one write of the port, and a rest that is too small for data is not filled.
static void test_batch(void)
{
    Forge forge;
    MuxTurn turn;
    const uint8_t *base;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = accepted(&forge, MUX_CREDIT_MAX);
    mux_channel_ready(channel);
    MuxSession *session = forge.end.session;

    g_assert_true(mux_session_next_turn(session, &turn));
    g_assert_cmpuint(turn.size, ==, MUX_PAYLOAD_MAX);
    memset(turn.base, 'x', turn.size);
    mux_session_turn_done(session, &turn, turn.size - 20 - MUX_CRUMB, true);
    g_assert_true(mux_session_next_turn(session, &turn)); // exactly a crumb
    g_assert_cmpuint(turn.size, ==, MUX_CRUMB);
    mux_session_turn_done(session, &turn, 1, true);
    g_assert_false(mux_session_next_turn(session, &turn)); // less than that
    g_assert_cmpuint(mux_session_output(session, &base), <=, MUX_FRAME_MAX);
    mux_session_output_done(session, 1);
    g_assert_false(mux_session_next_turn(session, &turn)); // being written
    mux_session_output_done(session, mux_session_output(session, &base));
    g_assert_true(mux_session_next_turn(session, &turn));
    mux_session_turn_done(session, &turn, 0, false);
    g_assert_false(mux_session_next_turn(session, &turn)); // it has nothing
    forge.heard += 2;
    forge_deinit(&forge);
}

static void test_credit(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    MuxChannel *channel = accepted(&forge, 5);
    g_assert_cmpuint(end_write(&forge.end, channel, "hello, world", 12), ==, 5);
    forge_expect(&forge, "DATA 1 hello\n");
    g_assert_cmpuint(end_write(&forge.end, channel, ", world", 7), ==, 0);
    forge_number(&forge, MUX_FRAME_CREDIT, 1, 12);
    MuxTurn turn;
    g_assert_true(mux_session_next_turn(forge.end.session, &turn)); // it is still ready
    g_assert_cmpuint(turn.size, ==, 7);
    mux_session_turn_done(forge.end.session, &turn, 0, true);
    // Reclaimed: none is left, and what was not used is said.
    forge_empty(&forge, MUX_FRAME_RECLAIM, 1);
    g_assert_false(mux_session_next_turn(forge.end.session, &turn));
    forge_expect(&forge, "RETURN 1 5\n");
    forge_number(&forge, MUX_FRAME_CREDIT, 1, 6);
    g_assert_cmpuint(end_write(&forge.end, channel, ", world", 7), ==, 1);
    forge_deinit(&forge);
}

// OPENs wait until fewer are unanswered than the peer wants; each answer, whichever, lets one out.
static void test_pending(void)
{
    static const MuxHello two = {.version_min = 1, .version_max = 1, .channels = 9, .pending = 2};
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, &two);
    for (const char *name = "a\0b\0c\0d\0e\0f\0"; *name; name += 2)
        end_open(&forge.end, name);
    forge_expect(&forge, "OPEN 1 16384 a\nOPEN 3 16384 b\n");
    forge_accept(&forge, 3, 0);
    forge_expect(&forge, "OPEN 5 16384 c\n");
    forge_reset(&forge, 1, MUX_CODE_REFUSED);
    forge_expect(&forge, "OPEN 7 16384 d\n");
    end_close(&forge.end, end_channel(&forge.end, 7), MUX_CODE_TIMEOUT);
    forge_expect(&forge, "RESET 7 timeout\nOPEN 9 16384 e\n");
    end_close(&forge.end, end_channel(&forge.end, 11), MUX_CODE_TIMEOUT); // nobody heard of it
    forge_accept(&forge, 9, 0);
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

// A peer that takes no opens at all is a peer that takes no opens.
static void test_pending_none(void)
{
    static const MuxHello none = {.version_min = 1, .version_max = 1, .channels = 9, .pending = 0};
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, &none);
    end_open(&forge.end, "a");
    forge_expect(&forge, "");
    // And cannot answer what was not sent.
    forge_accept(&forge, 1, 100);
    end_expect(&forge.end, "RESET 1 link-down\n"
                           "DOWN protocol: a frame of a channel that was never opened\n");
    forge_deinit(&forge);
}

// More control frames than a batch holds: they go out in several, each in its place, none twice.
static void test_many(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    for (uint32_t id = 1; id < 2 * 900; id += 2)
        forge_open(&forge, id, 0, "a");
    for (uint32_t id = 1; id < 2 * 900; id += 2)
        mux_channel_accept(end_channel(&forge.end, id), NULL);
    for (unsigned i = 0; i < 900; i++)
        end_open(&forge.end, "a-name-of-some-length");
    g_assert_cmpuint(forge_listen(&forge), ==, 1800);
    g_assert_cmpuint(forge_listen(&forge), ==, 0);
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    memset(much, 'm', sizeof(much));
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/transmit/flight", test_flight);
    g_test_add_func("/transmit/message", test_message);
    g_test_add_func("/transmit/message-slow", test_message_slow);
    g_test_add_func("/transmit/message-alone", test_message_alone);
    g_test_add_func("/transmit/no-message", test_no_message);
    g_test_add_func("/transmit/room-is-made", test_room_is_made);
    g_test_add_func("/transmit/acks", test_acks);
    g_test_add_func("/transmit/order", test_order);
    g_test_add_func("/transmit/coalesced", test_coalesced);
    g_test_add_func("/transmit/batch", test_batch);
    g_test_add_func("/transmit/credit", test_credit);
    g_test_add_func("/transmit/pending", test_pending);
    g_test_add_func("/transmit/pending-none", test_pending_none);
    g_test_add_func("/transmit/many", test_many);
    return g_test_run();
}
