// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// window.c: what is granted, to whom, and that it never is more than there is.

#include <glib.h>

#include "proto/limits.h"
#include "proto/window.h"

#define KIB 1024u
#define SEC 1000000u

// --- the budget ------------------------------------------------------------------------------------------

static void test_budget(void)
{
    static const struct {
        uint64_t total;
        uint32_t channels, floor;
        uint64_t pool;
    } cases[] = {
        {64u << 20, 32768, 1024, 32u << 20}, // the default
        {4096, 8, 256, 2048},
        {1u << 30, 2, MUX_WINDOW_START, (1u << 30) - 2 * MUX_WINDOW_START},
        {1000, 3, 166, 502}, // what does not divide goes to the pool
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        MuxBudget budget;
        mux_budget_init(&budget, cases[i].total, cases[i].channels);
        g_assert_cmpuint(budget.floor, ==, cases[i].floor);
        g_assert_cmpuint(budget.pool, ==, cases[i].pool);
        g_assert_cmpuint(budget.pool + (uint64_t)budget.floor * cases[i].channels, ==,
                         cases[i].total);
    }
}

static void test_start(void)
{
    MuxBudget budget;
    MuxWindow window;
    mux_budget_init(&budget, 64u << 20, 32768);
    mux_window_init(&window, &budget, 0);
    g_assert_cmpuint(window.granted, ==, MUX_WINDOW_START);
    g_assert_cmpuint(budget.used, ==, MUX_WINDOW_START - 1024);
    mux_window_deinit(&window, &budget);
    g_assert_cmpuint(budget.used, ==, 0);
    mux_window_deinit(&window, &budget); // harmless

    budget.used = budget.pool / 4; // a quarter is gone: from now on, the floor
    mux_window_init(&window, &budget, 0);
    g_assert_cmpuint(window.granted, ==, 1024);
    g_assert_cmpuint(budget.used, ==, budget.pool / 4);
    mux_window_deinit(&window, &budget);
}

// --- one window ------------------------------------------------------------------------------------------

typedef struct One {
    MuxBudget budget;
    MuxWindow window;
    MuxWindow *victim;
} One;

static void one_init(One *one)
{
    mux_budget_init(&one->budget, 64u << 20, 32768);
    mux_window_init(&one->window, &one->budget, 0);
}

static bool receive(One *one, uint64_t n)
{
    return mux_window_receive(&one->window, &one->budget, n, 0);
}

static bool grant(One *one)
{
    return mux_window_grant(&one->window, &one->budget, 0, &one->victim);
}

static void test_receive(void)
{
    One one;
    one_init(&one);
    g_assert_false(receive(&one, 16 * KIB + 1));
    g_assert_false(receive(&one, UINT64_MAX));
    g_assert_true(receive(&one, 10 * KIB));
    g_assert_false(receive(&one, 6 * KIB + 1));
    g_assert_cmpuint(one.window.received, ==, 10 * KIB);
    g_assert_false(one.window.limited);
    g_assert_true(receive(&one, 6 * KIB));
    g_assert_true(one.window.limited);
    g_assert_false(receive(&one, 1));
}

// Due at half a window: not before, so that a reader of single bytes makes no flood.
static void test_due(void)
{
    One one;
    one_init(&one);
    receive(&one, 12 * KIB);
    unsigned due = 0;
    for (unsigned i = 1; i <= 12 * KIB; i++) {
        bool now = mux_window_consume(&one.window, 1);
        g_assert_cmpint(now, ==, one.window.granted - one.window.consumed <= 8 * KIB);
        if (!now)
            continue;
        due++;
        g_assert_true(grant(&one));
        g_assert_cmpuint(one.window.granted, ==, i + 16 * KIB);
    }
    g_assert_cmpuint(due, ==, 1);
}

static void test_grow(void)
{
    static const uint64_t sizes[] = {64 * KIB, 256 * KIB, MUX_WINDOW_MAX, MUX_WINDOW_MAX};
    One one;
    one_init(&one);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t all = one.window.granted - one.window.received;
        g_assert_true(receive(&one, all));
        g_assert_true(mux_window_consume(&one.window, all));
        g_assert_true(grant(&one));
        g_assert_null(one.victim);
        g_assert_cmpuint(one.window.granted - one.window.consumed, ==, sizes[i]);
        g_assert_cmpuint(one.budget.used, ==, sizes[i] - 1024);
    }
}

// The sender has credit left: the window is not its limit.
static void test_not_limited(void)
{
    One one;
    one_init(&one);
    for (unsigned i = 0; i < 10; i++) {
        receive(&one, 16 * KIB - 1);
        g_assert_true(mux_window_consume(&one.window, 16 * KIB - 1));
        g_assert_true(grant(&one));
        g_assert_cmpuint(one.window.granted - one.window.consumed, ==, 16 * KIB);
    }
}

// The reader has not taken everything: it is the limit.
static void test_slow_reader(void)
{
    One one;
    one_init(&one);
    for (unsigned i = 0; i < 10; i++) {
        receive(&one, one.window.granted - one.window.received);
        g_assert_true(one.window.limited);
        mux_window_consume(&one.window, 15 * KIB);
        g_assert_true(grant(&one));
        g_assert_cmpuint(one.window.granted - one.window.consumed, ==, 16 * KIB);
        g_assert_cmpuint(one.window.received - one.window.consumed, ==, 1 * KIB);
    }
}

static void test_shrink(void)
{
    One one;
    one_init(&one);
    receive(&one, 16 * KIB);
    mux_window_consume(&one.window, 16 * KIB);
    grant(&one);
    g_assert_cmpuint(one.window.size, ==, 64 * KIB);

    // Others took all but 80 KiB of the pool; what this one has counts as free to it.
    uint64_t others = one.budget.pool - one.budget.used - 80 * KIB;
    one.budget.used += others;
    receive(&one, 60 * KIB);
    mux_window_consume(&one.window, 60 * KIB);
    g_assert_true(grant(&one));
    g_assert_cmpuint(one.window.size, ==, 1024 + (80 * KIB + 63 * KIB) / 8);
    g_assert_cmpuint(one.window.granted - one.window.consumed, ==, one.window.size);

    // Nothing is left at all: the floor remains, always.
    one.budget.used = one.budget.pool;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t all = one.window.granted - one.window.received;
        uint64_t freed = one.window.reserved;
        receive(&one, all);
        mux_window_consume(&one.window, all);
        g_assert_true(grant(&one));
        one.budget.used += freed - one.window.reserved; // taken by others at once
    }
    g_assert_cmpuint(one.window.granted - one.window.consumed, ==, 1024);
}

// --- who has what ------------------------------------------------------------------------------------------

// A window that grew is idle; another one could use what it has.
static void two_windows(One *idle, MuxWindow *hungry)
{
    one_init(idle);
    receive(idle, 16 * KIB);
    mux_window_consume(&idle->window, 16 * KIB);
    grant(idle);
    mux_window_init(hungry, &idle->budget, 0);
    idle->budget.used = idle->budget.pool;
    mux_window_receive(hungry, &idle->budget, hungry->granted, 2 * SEC);
    mux_window_consume(hungry, hungry->granted);
}

static void test_victim(void)
{
    One idle;
    MuxWindow hungry, *victim;
    two_windows(&idle, &hungry);
    g_assert_true(mux_window_grant(&hungry, &idle.budget, MUX_RECLAIM_IDLE_US, &victim));
    g_assert_true(victim == &idle.window);

    // Not asked again while it is being asked.
    victim->reclaiming = true;
    uint64_t all = hungry.granted - hungry.received;
    mux_window_receive(&hungry, &idle.budget, all, 2 * SEC);
    mux_window_consume(&hungry, all);
    mux_window_grant(&hungry, &idle.budget, 2 * SEC, &victim);
    g_assert_null(victim);
    mux_window_grant(&hungry, &idle.budget, 2 * SEC, &victim);
    g_assert_null(victim);
}

static void test_no_victim(void)
{
    One idle;
    MuxWindow hungry, *victim;
    two_windows(&idle, &hungry);
    g_assert_true(mux_window_grant(&hungry, &idle.budget, MUX_RECLAIM_IDLE_US - 1, &victim));
    g_assert_null(victim);
}

static void test_returned(void)
{
    One one;
    one_init(&one);
    receive(&one, 1000);
    g_assert_false(mux_window_returned(&one.window, &one.budget, 1000)); // was not asked for
    one.window.reclaiming = true;
    mux_window_consume(&one.window, 1000);
    g_assert_false(grant(&one)); // not meanwhile
    g_assert_false(mux_window_returned(&one.window, &one.budget, 999));
    g_assert_false(mux_window_returned(&one.window, &one.budget, 16 * KIB + 1));
    g_assert_false(mux_window_returned(&one.window, &one.budget, UINT64_MAX));
    g_assert_true(one.window.reclaiming);
    g_assert_true(mux_window_returned(&one.window, &one.budget, 1000));
    g_assert_cmpuint(one.budget.used, ==, 0);
    g_assert_false(receive(&one, 1));
    g_assert_true(grant(&one)); // and it begins at the floor
    g_assert_cmpuint(one.window.granted, ==, 1000 + 1024);
    g_assert_false(mux_window_returned(&one.window, &one.budget, 1000)); // asked once
}

static void test_finish(void)
{
    One one;
    one_init(&one);
    receive(&one, 5 * KIB);
    mux_window_finish(&one.window, &one.budget);
    g_assert_cmpuint(one.budget.used, ==, 4 * KIB);
    g_assert_false(receive(&one, 1));
    mux_window_consume(&one.window, 5 * KIB);
    g_assert_false(grant(&one));
    mux_window_finish(&one.window, &one.budget);
    g_assert_cmpuint(one.budget.used, ==, 0);
    mux_window_deinit(&one.window, &one.budget);
}

// --- thousands, at random ------------------------------------------------------------------------------------

#define MANY 4000

typedef struct Storm {
    MuxBudget budget;
    MuxWindow windows[MANY];
    uint64_t now;
} Storm;

static void assert_within(const Storm *storm, uint64_t total)
{
    uint64_t out = 0, used = 0;
    for (unsigned i = 0; i < MANY; i++) {
        const MuxWindow *w = &storm->windows[i];
        g_assert_cmpuint(w->consumed, <=, w->received);
        g_assert_cmpuint(w->received, <=, w->granted);
        g_assert_cmpuint(w->granted - w->consumed, <=, w->reserved);
        out += w->granted - w->consumed;
        used += w->reserved > storm->budget.floor ? w->reserved - storm->budget.floor : 0;
    }
    g_assert_cmpuint(out, <=, total);
    g_assert_cmpuint(used, ==, storm->budget.used);
    g_assert_cmpuint(used, <=, storm->budget.pool);
}

static void reclaim(Storm *storm, MuxWindow *victim)
{
    if (!victim)
        return;
    victim->reclaiming = true;
    uint64_t room = victim->granted - victim->received;
    uint64_t kept = g_test_rand_bit() ? 0 : (uint64_t)g_test_rand_int_range(0, (int)room + 1);
    g_assert_true(mux_window_returned(victim, &storm->budget, victim->received + kept));
}

static void one_step(Storm *storm)
{
    MuxWindow *victim, *w = &storm->windows[g_test_rand_int_range(0, MANY)];
    uint64_t room = w->granted - w->received;

    storm->now += (uint64_t)g_test_rand_int_range(0, 2000);
    if (g_test_rand_int_range(0, 50) == 0) {
        mux_window_deinit(w, &storm->budget);
        mux_window_init(w, &storm->budget, storm->now);
        return;
    }
    uint64_t n = g_test_rand_bit() ? room : (uint64_t)g_test_rand_int_range(0, (int)room + 1);
    g_assert_true(mux_window_receive(w, &storm->budget, n, storm->now));
    uint64_t held = w->received - w->consumed;
    if (g_test_rand_int_range(0, 4) && mux_window_consume(w, held)) {
        mux_window_grant(w, &storm->budget, storm->now, &victim);
        reclaim(storm, victim);
    }
}

static void test_storm(void)
{
    const uint64_t total = 16u << 20;
    Storm *storm = g_new0(Storm, 1);
    mux_budget_init(&storm->budget, total, MANY);
    for (unsigned i = 0; i < MANY; i++)
        mux_window_init(&storm->windows[i], &storm->budget, 0);
    for (unsigned i = 0; i < 400000; i++) {
        one_step(storm);
        if (i % 4000 == 0)
            assert_within(storm, total);
    }
    for (unsigned i = 0; i < MANY; i++)
        mux_window_deinit(&storm->windows[i], &storm->budget);
    g_assert_cmpuint(storm->budget.used, ==, 0);
    g_assert_true(mux_list_empty(&storm->budget.holders));
    g_free(storm);
}

// --- the sender's side ------------------------------------------------------------------------------------

static void test_credit(void)
{
    MuxCredit credit = {0};
    g_assert_cmpuint(mux_credit_left(&credit), ==, 0);
    g_assert_true(mux_credit_raise(&credit, 0));
    g_assert_true(mux_credit_raise(&credit, 100));
    g_assert_true(mux_credit_raise(&credit, 100));
    g_assert_false(mux_credit_raise(&credit, 99));
    g_assert_false(mux_credit_raise(&credit, 0));
    g_assert_false(mux_credit_raise(&credit, UINT64_MAX));
    g_assert_false(mux_credit_raise(&credit, (uint64_t)MUX_CREDIT_MAX + 1));
    g_assert_cmpuint(mux_credit_left(&credit), ==, 100);
    g_assert_true(mux_credit_raise(&credit, MUX_CREDIT_MAX));
    credit.sent = 5;
    g_assert_true(mux_credit_raise(&credit, (uint64_t)MUX_CREDIT_MAX + 5));
    g_assert_false(mux_credit_raise(&credit, (uint64_t)MUX_CREDIT_MAX + 6));
    g_assert_cmpuint(mux_credit_left(&credit), ==, MUX_CREDIT_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/window/budget", test_budget);
    g_test_add_func("/window/start", test_start);
    g_test_add_func("/window/receive", test_receive);
    g_test_add_func("/window/due", test_due);
    g_test_add_func("/window/grow", test_grow);
    g_test_add_func("/window/not-limited", test_not_limited);
    g_test_add_func("/window/slow-reader", test_slow_reader);
    g_test_add_func("/window/shrink", test_shrink);
    g_test_add_func("/window/victim", test_victim);
    g_test_add_func("/window/no-victim", test_no_victim);
    g_test_add_func("/window/returned", test_returned);
    g_test_add_func("/window/finish", test_finish);
    g_test_add_func("/window/storm", test_storm);
    g_test_add_func("/window/credit", test_credit);
    return g_test_run();
}
