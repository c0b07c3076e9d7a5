// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// window.c: what all windows of a link have together. Who may have how much of it, who has to give
// some back, and that it never is more than there is.

#include <glib.h>

#include "one.h"
#include "proto/limits.h"
#include "proto/window.h"

#define KIB 1024u
#define SEC 1000000u

// --- the budget

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

// --- who has what

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

// --- thousands, at random

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/budget/budget", test_budget);
    g_test_add_func("/budget/start", test_start);
    g_test_add_func("/budget/victim", test_victim);
    g_test_add_func("/budget/no-victim", test_no_victim);
    g_test_add_func("/budget/returned", test_returned);
    g_test_add_func("/budget/storm", test_storm);
    return g_test_run();
}
