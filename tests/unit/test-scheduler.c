// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// scheduler.c: whose turn it is.

#include <glib.h>

#include "proto/limits.h"
#include "proto/scheduler.h"

#define QUANTUM MUX_PAYLOAD_MAX

typedef struct Sender {
    MuxShare share;
    uint32_t write; // bytes that it has for one turn
    uint64_t sent;
} Sender;

static void senders_init(Sender *senders, size_t n, MuxScheduler *scheduler)
{
    mux_scheduler_init(scheduler);
    for (size_t i = 0; i < n; i++) {
        senders[i] = (Sender){.write = QUANTUM};
        mux_share_init(&senders[i].share);
        mux_scheduler_add(scheduler, &senders[i].share);
    }
}

static Sender *next(MuxScheduler *scheduler)
{
    MuxShare *share = mux_scheduler_next(scheduler);
    return share ? mux_container(share, Sender, share) : NULL;
}

// One turn, of as much as it has and may.
static Sender *turn(MuxScheduler *scheduler)
{
    Sender *sender = next(scheduler);
    g_assert_cmpuint(sender->share.deficit, >, 0);
    g_assert_cmpuint(sender->share.deficit, <=, QUANTUM);
    uint32_t n = MIN(sender->write, (uint32_t)sender->share.deficit);
    mux_scheduler_sent(scheduler, &sender->share, n);
    sender->sent += n;
    return sender;
}

static void test_empty(void)
{
    MuxScheduler scheduler;
    MuxShare share;
    mux_scheduler_init(&scheduler);
    g_assert_null(mux_scheduler_next(&scheduler));
    mux_share_init(&share);
    mux_scheduler_remove(&scheduler, &share); // is not queued
    mux_scheduler_add(&scheduler, &share);
    mux_scheduler_add(&scheduler, &share); // is queued
    g_assert_true(mux_scheduler_next(&scheduler) == &share);
    mux_scheduler_remove(&scheduler, &share);
    g_assert_null(mux_scheduler_next(&scheduler));
}

static void test_round_robin(void)
{
    Sender senders[3];
    MuxScheduler scheduler;
    senders_init(senders, 3, &scheduler);
    for (unsigned i = 0; i < 9; i++)
        g_assert_true(turn(&scheduler) == &senders[i % 3]);
}

// It keeps its turn until its quantum is used up, in however small pieces.
static void test_quantum(void)
{
    Sender senders[2];
    MuxScheduler scheduler;
    senders_init(senders, 2, &scheduler);
    senders[0].write = 1000;
    for (unsigned i = 0; i < 33; i++)
        g_assert_true(turn(&scheduler) == &senders[0]);
    g_assert_cmpuint(senders[0].sent, ==, QUANTUM);
    g_assert_true(turn(&scheduler) == &senders[1]);
    g_assert_true(turn(&scheduler) == &senders[0]);
}

static void test_fresh_first(void)
{
    Sender senders[11];
    MuxScheduler scheduler;
    senders_init(senders, 10, &scheduler);
    for (unsigned i = 0; i < 25; i++)
        turn(&scheduler);

    Sender *fresh = &senders[10];
    *fresh = (Sender){.write = 64};
    mux_share_init(&fresh->share);
    for (unsigned i = 0; i < QUANTUM / 64; i++) { // as long as what it sends is little
        mux_scheduler_add(&scheduler, &fresh->share);
        g_assert_true(turn(&scheduler) == fresh);
        mux_scheduler_remove(&scheduler, &fresh->share);
        turn(&scheduler);
    }
}

// Bulk that begins goes ahead for one quantum, then behind; running dry and coming back wins
// nothing.
static void test_no_gain_by_coming_back(void)
{
    Sender senders[5];
    MuxScheduler scheduler;
    senders_init(senders, 5, &scheduler);
    for (unsigned i = 0; i < 1000; i++) {
        Sender *sender = turn(&scheduler);
        if (sender == &senders[0]) {
            mux_scheduler_remove(&scheduler, &sender->share);
            mux_scheduler_add(&scheduler, &sender->share);
        }
    }
    g_assert_cmpuint(senders[0].sent, ==, 200ull * QUANTUM);
    for (unsigned i = 1; i < 5; i++)
        g_assert_cmpuint(senders[i].sent, ==, 200ull * QUANTUM);
}

// The same with a part of a quantum each time.
static void test_no_gain_by_parts(void)
{
    Sender senders[4];
    MuxScheduler scheduler;
    senders_init(senders, 4, &scheduler);
    senders[0].write = QUANTUM - 1;
    for (unsigned i = 0; i < 4000; i++) {
        Sender *sender = turn(&scheduler);
        if (sender == &senders[0]) {
            mux_scheduler_remove(&scheduler, &sender->share);
            mux_scheduler_add(&scheduler, &sender->share);
        }
    }
    for (unsigned i = 1; i < 4; i++)
        g_assert_cmpuint(senders[0].sent, <=, senders[i].sent + 2 * QUANTUM);
}

// One that was held up (by its credit) is no quiet one, and does not go ahead of those that are.
static void test_held(void)
{
    Sender senders[4];
    MuxScheduler scheduler;
    senders_init(senders, 4, &scheduler);
    for (unsigned i = 0; i < 4; i++)
        turn(&scheduler); // now all wait
    mux_scheduler_remove(&scheduler, &senders[3].share);
    senders[0].write = 1000;
    turn(&scheduler);
    mux_scheduler_hold(&scheduler, &senders[0].share);
    g_assert_true(next(&scheduler) == &senders[1]);
    mux_scheduler_add(&scheduler, &senders[0].share);
    g_assert_true(next(&scheduler) == &senders[1]);

    MuxShare quiet;
    mux_share_init(&quiet);
    mux_scheduler_add(&scheduler, &quiet);
    g_assert_true(mux_scheduler_next(&scheduler) == &quiet);
    mux_scheduler_remove(&scheduler, &quiet);
    turn(&scheduler);
    turn(&scheduler);
    g_assert_true(next(&scheduler) == &senders[0]);
    g_assert_cmpuint(senders[0].share.deficit, ==, QUANTUM - 1000); // what it had left
}

static double jain(const Sender *senders, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)senders[i].sent;
        squares += (double)senders[i].sent * (double)senders[i].sent;
    }
    return sum * sum / ((double)n * squares);
}

static void test_fair(void)
{
    static const uint32_t writes[] = {1, 10, 100, 1000, 1460, 4096, 10000, 16384, 32000, QUANTUM};
    Sender senders[G_N_ELEMENTS(writes)];
    MuxScheduler scheduler;
    senders_init(senders, G_N_ELEMENTS(writes), &scheduler);
    for (size_t i = 0; i < G_N_ELEMENTS(writes); i++)
        senders[i].write = writes[i];
    for (unsigned i = 0; i < 2000000; i++)
        turn(&scheduler);
    g_assert_cmpfloat(jain(senders, G_N_ELEMENTS(writes)), >=, 0.99);
    for (size_t i = 1; i < G_N_ELEMENTS(writes); i++) // at no time is one more than a quantum ahead
        g_assert_cmpuint(ABS((int64_t)(senders[i].sent - senders[0].sent)), <=, QUANTUM);
}

// With a thousand, a round is no longer than it has to be: after three whole frames each, they do
// not differ by whole frames. Those with little at once run dry at each turn, as sockets do, and
// come back after a while.
static void test_many_are_fair(void)
{
    enum { N = 1000 };
    static Sender senders[N];
    MuxScheduler scheduler;
    Sender *dry[64] = {NULL};
    senders_init(senders, N, &scheduler);
    for (unsigned i = 0; i < N; i++)
        senders[i].write = 256u << i % 8;
    for (uint64_t n = 0; scheduler.sent < 100ull * 1000 * N; n++) {
        Sender **place = &dry[n % G_N_ELEMENTS(dry)], *sender;
        if (*place)
            mux_scheduler_add(&scheduler, &(*place)->share);
        sender = *place = next(&scheduler);
        uint32_t bytes = MIN(sender->write, mux_scheduler_turn(&scheduler, &sender->share));
        mux_scheduler_sent(&scheduler, &sender->share, bytes);
        mux_scheduler_remove(&scheduler, &sender->share);
        sender->sent += bytes;
    }
    g_assert_cmpfloat(jain(senders, N), >=, 0.99);
}

// What a small frame leaves of a quantum does not make another small one.
static void test_no_crumbs(void)
{
    Sender senders[2];
    MuxScheduler scheduler;
    senders_init(senders, 2, &scheduler);
    for (unsigned i = 0; i < 100; i++) {
        Sender *sender = next(&scheduler);
        g_assert_cmpuint(mux_scheduler_turn(&scheduler, &sender->share), ==, QUANTUM);
        mux_scheduler_sent(&scheduler, &sender->share, i % 3 == 0 ? 64 : QUANTUM);
    }
}

// Who was quiet while the others had a round goes ahead of them again, whatever he had left.
static void test_quiet_again(void)
{
    Sender senders[3];
    MuxScheduler scheduler;
    senders_init(senders, 3, &scheduler);
    for (unsigned i = 0; i < 3; i++)
        turn(&scheduler); // now all wait
    mux_scheduler_remove(&scheduler, &senders[0].share);
    for (unsigned i = 0; i < 2; i++)
        turn(&scheduler);
    mux_scheduler_add(&scheduler, &senders[0].share);
    g_assert_true(next(&scheduler) != &senders[0]); // not a round yet
    mux_scheduler_remove(&scheduler, &senders[0].share);
    for (unsigned i = 0; i < 3; i++)
        turn(&scheduler);
    mux_scheduler_add(&scheduler, &senders[0].share);
    g_assert_true(next(&scheduler) == &senders[0]);
}

// Channels that have a question each time that all together have sent a flight, as those that wait
// for answers over a busy port: bulk beside them still gets its part.
static void test_bulk_beside_many(void)
{
    enum { N = 100, WRITE = 4096 };
    static Sender senders[N + 1];
    uint64_t back[N + 1] = {0};
    MuxScheduler scheduler;
    senders_init(senders, N + 1, &scheduler);
    while (scheduler.sent < 200u << 20) {
        for (unsigned i = 1; i <= N; i++)
            if (back[i] > 0 && scheduler.sent >= back[i]) {
                back[i] = 0;
                mux_scheduler_add(&scheduler, &senders[i].share);
            }
        Sender *sender = next(&scheduler);
        uint32_t bytes = mux_scheduler_turn(&scheduler, &sender->share);
        bytes = sender == &senders[0] ? bytes : MIN(bytes, WRITE);
        mux_scheduler_sent(&scheduler, &sender->share, bytes);
        sender->sent += bytes;
        if (sender != &senders[0]) {
            mux_scheduler_remove(&scheduler, &sender->share);
            back[sender - senders] = scheduler.sent + MUX_FLIGHT_MAX;
        }
    }
    g_assert_cmpuint(senders[0].sent, >=, scheduler.sent / (N + 1));
}

// Its owner may end a channel within its turn.
static void test_ended_in_its_turn(void)
{
    Sender senders[2];
    MuxScheduler scheduler;
    senders_init(senders, 2, &scheduler);
    g_assert_true(next(&scheduler) == &senders[0]);
    mux_scheduler_remove(&scheduler, &senders[0].share);
    mux_scheduler_sent(&scheduler, &senders[0].share, QUANTUM);
    g_assert_true(next(&scheduler) == &senders[1]);
    mux_scheduler_remove(&scheduler, &senders[1].share);
    mux_scheduler_remove(&scheduler, &senders[0].share);
    g_assert_null(next(&scheduler));
    g_assert_cmpuint(scheduler.count, ==, 0);
}

#define SLOT MUX_SLOT_MAX

// Who sends a whole slot in one turn waits until the others have had as much.
static void test_debt(void)
{
    Sender senders[3];
    MuxScheduler scheduler;
    senders_init(senders, 3, &scheduler);
    g_assert_true(next(&scheduler) == &senders[0]);
    mux_scheduler_sent(&scheduler, &senders[0].share, SLOT);
    for (unsigned i = 0; i < 2 * (SLOT / QUANTUM); i++)
        g_assert_true(turn(&scheduler) == &senders[1 + i % 2]);
    g_assert_true(next(&scheduler) == &senders[0]);
    g_assert_cmpint(senders[0].share.deficit, >, 0);
    g_assert_cmpint(senders[0].share.deficit, <=, QUANTUM);
}

// In the long run each has the same, whatever it sends at once.
static void test_debt_shares(void)
{
    Sender senders[4];
    MuxScheduler scheduler;
    senders_init(senders, 4, &scheduler);
    senders[1].write = 100000;
    senders[2].write = SLOT;
    senders[3].write = 1000;
    for (unsigned i = 0; i < 200000; i++) {
        Sender *sender = next(&scheduler);
        mux_scheduler_sent(&scheduler, &sender->share, sender->write);
        sender->sent += sender->write;
    }
    for (unsigned i = 1; i < 4; i++)
        g_assert_cmpuint(ABS((int64_t)(senders[i].sent - senders[0].sent)), <=, SLOT + QUANTUM);
}

// Nobody else has anything: it goes on at once. Coming back does not forgive it, nor make it quiet.
static void test_debt_alone(void)
{
    Sender senders[2];
    MuxScheduler scheduler;
    senders_init(senders, 2, &scheduler);
    mux_scheduler_remove(&scheduler, &senders[1].share);
    for (unsigned i = 0; i < 10; i++) {
        g_assert_true(next(&scheduler) == &senders[0]);
        mux_scheduler_sent(&scheduler, &senders[0].share, SLOT);
    }
    mux_scheduler_remove(&scheduler, &senders[0].share);
    g_assert_null(next(&scheduler));
    mux_scheduler_add(&scheduler, &senders[0].share);
    mux_scheduler_add(&scheduler, &senders[1].share);
    for (unsigned i = 0; i < SLOT / QUANTUM - 1; i++)
        g_assert_true(turn(&scheduler) == &senders[1]);
}

// What the others send while it is quiet counts as the turns that it owes them: after a pause a
// keystroke does not wait for a slot that was sent an hour ago.
static void test_debt_forgiven(void)
{
    Sender senders[2];
    MuxScheduler scheduler;
    senders_init(senders, 2, &scheduler);
    g_assert_true(next(&scheduler) == &senders[0]);
    mux_scheduler_sent(&scheduler, &senders[0].share, SLOT);
    mux_scheduler_remove(&scheduler, &senders[0].share);
    for (unsigned i = 0; i < SLOT / QUANTUM; i++)
        g_assert_true(turn(&scheduler) == &senders[1]);
    mux_scheduler_remove(&scheduler, &senders[0].share); // again changes nothing
    mux_scheduler_add(&scheduler, &senders[0].share);
    g_assert_cmpint(senders[0].share.deficit, ==, 0);
    (void)turn(&scheduler);
    g_assert_true(next(&scheduler) == &senders[0]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scheduler/empty", test_empty);
    g_test_add_func("/scheduler/round-robin", test_round_robin);
    g_test_add_func("/scheduler/quantum", test_quantum);
    g_test_add_func("/scheduler/fresh-first", test_fresh_first);
    g_test_add_func("/scheduler/no-gain-by-coming-back", test_no_gain_by_coming_back);
    g_test_add_func("/scheduler/no-gain-by-parts", test_no_gain_by_parts);
    g_test_add_func("/scheduler/held", test_held);
    g_test_add_func("/scheduler/fair", test_fair);
    g_test_add_func("/scheduler/many-are-fair", test_many_are_fair);
    g_test_add_func("/scheduler/no-crumbs", test_no_crumbs);
    g_test_add_func("/scheduler/quiet-again", test_quiet_again);
    g_test_add_func("/scheduler/bulk-beside-many", test_bulk_beside_many);
    g_test_add_func("/scheduler/ended-in-its-turn", test_ended_in_its_turn);
    g_test_add_func("/scheduler/debt", test_debt);
    g_test_add_func("/scheduler/debt-shares", test_debt_shares);
    g_test_add_func("/scheduler/debt-alone", test_debt_alone);
    g_test_add_func("/scheduler/debt-forgiven", test_debt_forgiven);
    return g_test_run();
}
