// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// window.c: several windows on one account hold no more than it lets them, and what they held is
// given back whatever becomes of them.

#include <glib.h>

#include "proto/limits.h"
#include "proto/window.h"

#define KIB     1024u
#define WINDOWS 40
#define LIMIT   (256 * KIB)

// A sender that uses all credit and a reader that takes it all, so that the window grows.
static void busy(MuxWindow *window, MuxBudget *budget)
{
    MuxWindow *victim;
    uint64_t all = window->granted - window->received;

    g_assert_true(mux_window_receive(window, budget, all, 1));
    (void)mux_window_consume(window, all);
    (void)mux_window_grant(window, budget, 1, &victim);
}

static uint64_t beyond_floors(const MuxWindow *windows, const MuxBudget *budget)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < WINDOWS; i++)
        sum += MAX(windows[i].granted - windows[i].consumed, budget->floor) - budget->floor;
    return sum;
}

static void test_bounded(void)
{
    MuxAccount account = {.limit = LIMIT};
    MuxWindow windows[WINDOWS], other;
    MuxBudget budget;

    mux_budget_init(&budget, 128 * KIB * KIB, 16384);
    for (size_t i = 0; i < WINDOWS; i++) {
        mux_window_init(&windows[i], &budget, 0);
        mux_window_charge(&windows[i], &budget, &account);
        g_assert_cmpuint(account.used, <=, LIMIT);
    }
    for (size_t round = 0; round < 8; round++) {
        for (size_t i = 0; i < WINDOWS; i++) {
            busy(&windows[i], &budget);
            g_assert_cmpuint(account.used, <=, LIMIT);
            g_assert_cmpuint(beyond_floors(windows, &budget), <=, account.used);
            // It goes on, if slowly.
            g_assert_cmpuint(windows[i].granted - windows[i].received, >=, budget.floor);
        }
    }
    g_assert_cmpuint(account.used, >, LIMIT / 2);

    // Somebody else is not held back.
    mux_window_init(&other, &budget, 0);
    for (size_t round = 0; round < 8; round++)
        busy(&other, &budget);
    g_assert_cmpuint(other.granted - other.consumed, ==, MUX_WINDOW_MAX);

    mux_window_deinit(&other, &budget);
    for (size_t i = 0; i < WINDOWS; i++) {
        if (i % 2)
            mux_window_charge(&windows[i], &budget, NULL);
        mux_window_deinit(&windows[i], &budget);
    }
    g_assert_cmpuint(account.used, ==, 0);
    g_assert_cmpuint(budget.used, ==, 0);
}

// The limit was lowered: nothing is taken back, and nothing given beyond the floors.
static void test_lowered(void)
{
    MuxAccount account = {.limit = LIMIT};
    MuxWindow window;
    MuxBudget budget;

    mux_budget_init(&budget, 64 * KIB * KIB, 16384);
    mux_window_init(&window, &budget, 0);
    mux_window_charge(&window, &budget, &account);
    busy(&window, &budget);
    g_assert_cmpuint(account.used, >, 0);
    account.limit = 0;
    busy(&window, &budget);
    g_assert_cmpuint(window.granted - window.consumed, ==, budget.floor);
    g_assert_cmpuint(account.used, ==, 0);
    mux_window_deinit(&window, &budget);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/account/bounded", test_bounded);
    g_test_add_func("/account/lowered", test_lowered);
    return g_test_run();
}
