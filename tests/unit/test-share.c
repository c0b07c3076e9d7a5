// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Scheduler and windows together, in two sessions: how channels share the port, and the budget.

#include <string.h>

#include "pair.h"
#include "proto/channel.h"
#include "proto/limits.h"
#include "proto/session-private.h"

// One write of the guest's: turns as long as there are any; each sender writes at most its `size`.
static size_t fill(Pair *pair, const size_t *sizes, size_t count)
{
    MuxTurn turn;
    size_t total = 0;
    while (mux_session_next_turn(pair->guest.session, &turn)) {
        size_t i = (channel_id(turn.channel) - 1) / 2;
        size_t n = MIN(turn.size, i < count ? sizes[i] : turn.size);
        memset(turn.base, 'b', n);
        mux_session_turn_done(pair->guest.session, &turn, n, true);
        total += n;
    }
    return total;
}

static void rounds(Pair *pair, unsigned n, const size_t *sizes, size_t count)
{
    while (n--) {
        fill(pair, sizes, count);
        pair_carry(&pair->guest, &pair->host);
        pair_carry(&pair->host, &pair->guest);
        end_forget(&pair->host);
    }
}

static void begin(Pair *pair, unsigned channels, const MuxLimits *limits)
{
    pair_init(pair, limits, limits);
    pair->host.accepts = pair->host.consumes = true;
    pair_up(pair);
    for (unsigned i = 0; i < channels; i++)
        g_assert_nonnull(end_open(&pair->guest, "bulk"));
    pair_settle(pair);
    for (unsigned i = 0; i < channels; i++)
        mux_channel_ready(end_channel(&pair->guest, 2 * i + 1));
    end_forget(&pair->guest);
    end_forget(&pair->host);
}

static uint64_t sent(Pair *pair, unsigned i)
{
    MuxChannelInfo info;
    mux_channel_info(end_channel(&pair->guest, 2 * i + 1), &info);
    return info.sent;
}

// Its app has nothing to say for now.
static void silence(MuxChannel *channel)
{
    channel->ready = false;
    mux_channel_schedule(channel);
}

// --- the port

// Ten bulk transfers in the middle of their work; a small message comes, and goes out next.
static void fresh_next(const MuxLimits *limits)
{
    Pair pair;
    begin(&pair, 10, limits);
    rounds(&pair, 200, NULL, 0);
    for (unsigned i = 0; i < 50; i++) {
        MuxTurn turn;
        rounds(&pair, 1 + i % 7, NULL, 0);
        MuxChannel *quiet = end_open(&pair.guest, "keys");
        pair_settle(&pair);
        mux_channel_ready(quiet);
        g_assert_true(mux_session_next_turn(pair.guest.session, &turn));
        g_assert_true(turn.channel == quiet);
        mux_session_turn_done(pair.guest.session, &turn, 64, false);
        pair_settle(&pair);
        g_assert_true(mux_session_next_turn(pair.guest.session, &turn)); // and the others go on
        g_assert_true(turn.channel != quiet);
        mux_session_turn_done(pair.guest.session, &turn, 0, true);
    }
    pair_deinit(&pair);
}

static void test_fresh_next(void)
{
    fresh_next(NULL);
}

// The same with windows so small that the transfers are held up by their credit all the time.
static void test_fresh_next_small(void)
{
    static const MuxLimits limits = {.channels = 64, .budget = 1};
    fresh_next(&limits);
}

// Sends 64 bytes; returns how many of other channels went ahead of the last of them.
static uint64_t keystroke(Pair *pair, MuxChannel *keys)
{
    MuxTurn turn;
    uint64_t others = 0;
    size_t left = 64;

    mux_channel_ready(keys);
    while (left > 0) {
        if (!mux_session_next_turn(pair->guest.session, &turn)) {
            pair_carry(&pair->guest, &pair->host);
            pair_carry(&pair->host, &pair->guest);
            continue;
        }
        bool own = turn.channel == keys;
        size_t n = own ? MIN(turn.size, left) : turn.size;
        memset(turn.base, 'k', n);
        left -= own ? n : 0;
        others += own ? 0 : n;
        mux_session_turn_done(pair->guest.session, &turn, n, !own || left > 0);
    }
    return others;
}

// Half a megabyte in pieces of 64 bytes, beside ten bulk transfers: each goes out next, but for the
// few with which a quantum (of eleven: a frame) is used up; the rest of such a one
// waits for one round.
static void test_keystrokes(void)
{
    Pair pair;
    unsigned late = 0;
    begin(&pair, 11, NULL);
    MuxChannel *keys = end_channel(&pair.guest, 21);
    silence(keys);
    rounds(&pair, 50, NULL, 0);
    for (unsigned i = 0; i < 8000; i++) {
        uint64_t ahead = keystroke(&pair, keys);
        g_assert_cmpuint(ahead, <=, 10 * MUX_PAYLOAD_MAX);
        late += ahead > 0;
        rounds(&pair, 1, NULL, 0);
    }
    g_assert_cmpuint(late, <=, 8000 * 64 / MUX_PAYLOAD_MAX + 1);
    pair_deinit(&pair);
}

static void test_fair(void)
{
    static const size_t sizes[] = {7, 64, 500, 1460, 4096, 8192, 10000, 20000, 32748, 32748};
    const unsigned n = G_N_ELEMENTS(sizes);
    double sum = 0, squares = 0;
    Pair pair;
    begin(&pair, n, NULL);
    rounds(&pair, 4000, sizes, n);
    for (unsigned i = 0; i < n; i++) {
        double bytes = (double)sent(&pair, i);
        sum += bytes;
        squares += bytes * bytes;
    }
    g_assert_cmpfloat(sum, >, 10e6);
    g_assert_cmpfloat(sum * sum / (n * squares), >=, 0.99);
    pair_deinit(&pair);
}

// --- the budget

// Nobody reads half of the channels. The others go on as if they were alone.
static void test_unread(void)
{
    enum { UNREAD = 500, READ = 5 };
    Pair pair;
    begin(&pair, UNREAD + READ, NULL);
    pair.host.consumes = false;
    for (unsigned round = 0; round < 3000; round++) {
        fill(&pair, NULL, 0);
        pair_carry(&pair.guest, &pair.host);
        for (unsigned i = UNREAD; i < UNREAD + READ; i++)
            end_read(end_channel(&pair.host, 2 * i + 1), SIZE_MAX);
        pair_carry(&pair.host, &pair.guest);
        end_forget(&pair.host);
    }
    for (unsigned i = 0; i < UNREAD; i++)
        g_assert_cmpuint(sent(&pair, i), ==, MUX_WINDOW_START);
    for (unsigned i = UNREAD; i < UNREAD + READ; i++)
        g_assert_cmpuint(sent(&pair, i), >, 10u << 20);
    pair_deinit(&pair);
}

// What the host's windows have given out, added up by hand.
static uint64_t given_out(const End *end)
{
    uint64_t sum = 0;
    MuxEntry *entry = NULL;
    while ((entry = mux_table_next(&end->session->channels, entry))) {
        const MuxWindow *w = &mux_container(entry, MuxChannel, entry)->window;
        sum += w->granted - w->consumed;
    }
    return sum;
}

// Thousands of channels, that read or not as it comes: never is more out than the budget.
static void test_budget(void)
{
    static const MuxLimits limits = {.channels = 3000, .pending = 3000, .budget = 8u << 20};
    Pair pair;
    begin(&pair, 3000, &limits);
    pair.host.consumes = false;
    for (unsigned round = 0; round < 400; round++) {
        fill(&pair, NULL, 0);
        pair_carry(&pair.guest, &pair.host);
        for (unsigned i = 0; i < 300; i++) {
            uint32_t id = 2 * (uint32_t)g_test_rand_int_range(0, 3000) + 1;
            end_read(end_channel(&pair.host, id), (size_t)g_test_rand_int_range(0, 5000));
        }
        pair_carry(&pair.host, &pair.guest);
        pair_sleep(&pair, 20000);
        g_assert_cmpuint(given_out(&pair.host), <=, limits.budget);
        g_assert_cmpuint(end_info(&pair.host).budget_used, <=, limits.budget);
        g_assert_true(mux_session_is_up(pair.host.session));
        end_forget(&pair.host);
    }
    g_assert_cmpuint(pair.host.taken, >, 4u << 20);
    pair_deinit(&pair);
}

static uint32_t window_size(const End *end, uint32_t id)
{
    return end_channel((End *)end, id)->window.size;
}

// A round trip: the guest uses up its credit, then the host's reader takes all but `rest` of it.
static void round_trip(Pair *pair, uint32_t id, uint64_t rest)
{
    MuxChannel *reader = end_channel(&pair->host, id);
    MuxChannelInfo info;
    while (fill(pair, NULL, 0) > 0) {
        pair_carry(&pair->guest, &pair->host);
        pair_carry(&pair->host, &pair->guest); // ACK
    }
    mux_channel_info(reader, &info);
    if (info.received - info.consumed > rest)
        end_read(reader, info.received - info.consumed - rest);
    pair_carry(&pair->host, &pair->guest); // CREDIT
    end_forget(&pair->host);
}

static void test_grows(void)
{
    static const uint32_t sizes[] = {16, 64, 256, 1024, 4096, 4096};
    Pair pair;
    begin(&pair, 1, NULL);
    pair.host.consumes = false;
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_cmpuint(window_size(&pair.host, 1), ==, sizes[i] << 10);
        round_trip(&pair, 1, 0);
    }
    g_assert_cmpuint(pair.host.taken, ==, (16 + 64 + 256 + 1024 + 4096 + 4096) << 10);
    pair_deinit(&pair);
}

// The reader keeps behind: a larger window would only be a larger heap of unread bytes.
static void test_grows_not(void)
{
    Pair pair;
    begin(&pair, 1, NULL);
    pair.host.consumes = false;
    for (unsigned i = 0; i < 500; i++)
        round_trip(&pair, 1, 100);
    g_assert_cmpuint(window_size(&pair.host, 1), ==, MUX_WINDOW_START);
    g_assert_cmpuint(pair.host.taken, ==, 500 * (MUX_WINDOW_START - 100) + 100);
    pair_deinit(&pair);
}

// One that grew and fell idle gives back what it has when another one needs it; when it speaks
// again, it begins anew from the floor.
static void test_reclaim(void)
{
    static const MuxLimits limits = {.channels = 4, .pending = 4, .budget = 1u << 20};
    Pair pair;
    begin(&pair, 4, &limits);
    for (uint32_t id = 3; id <= 7; id += 2)
        silence(end_channel(&pair.guest, id));
    pair.host.consumes = false;
    for (unsigned i = 0; i < 5; i++)
        round_trip(&pair, 1, 0);
    uint32_t alone = window_size(&pair.host, 1), floor = pair.host.session->budget.floor;
    g_assert_cmpuint(floor, ==, MUX_WINDOW_START);
    g_assert_cmpuint(alone, ==, floor + ((1u << 20) - 8 * floor) / 8); // an eighth of the pool

    silence(end_channel(&pair.guest, 1));
    pair_sleep(&pair, 2 * MUX_RECLAIM_IDLE_US);
    mux_channel_ready(end_channel(&pair.guest, 3));
    for (unsigned i = 0; i < 5; i++)
        round_trip(&pair, 3, 0);
    g_assert_cmpuint(window_size(&pair.host, 1), ==, floor);
    g_assert_cmpuint(window_size(&pair.host, 3), ==, alone); // as if it had been alone

    silence(end_channel(&pair.guest, 3));
    mux_channel_ready(end_channel(&pair.guest, 1));
    for (unsigned i = 0; i < 5; i++)
        round_trip(&pair, 1, 0);
    g_assert_cmpuint(window_size(&pair.host, 1), >, floor);
    g_assert_true(mux_session_is_up(pair.host.session));
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/share/port/fresh-next", test_fresh_next);
    g_test_add_func("/share/port/fresh-next-small", test_fresh_next_small);
    g_test_add_func("/share/port/keystrokes", test_keystrokes);
    g_test_add_func("/share/port/fair", test_fair);
    g_test_add_func("/share/budget/unread", test_unread);
    g_test_add_func("/share/budget/thousands", test_budget);
    g_test_add_func("/share/window/grows", test_grows);
    g_test_add_func("/share/window/grows-not", test_grows_not);
    g_test_add_func("/share/window/reclaim", test_reclaim);
    return g_test_run();
}
