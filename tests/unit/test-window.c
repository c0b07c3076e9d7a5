// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// window.c: one window: what is granted to its sender and when, and the sender's side of it.

#include <glib.h>

#include "one.h"
#include "proto/limits.h"
#include "proto/window.h"

#define KIB 1024u

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
    static const uint64_t sizes[] = {64 * KIB, 256 * KIB, 1024 * KIB, MUX_WINDOW_MAX,
                                     MUX_WINDOW_MAX};
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

// --- the sender's side

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
    g_test_add_func("/window/receive", test_receive);
    g_test_add_func("/window/due", test_due);
    g_test_add_func("/window/grow", test_grow);
    g_test_add_func("/window/not-limited", test_not_limited);
    g_test_add_func("/window/slow-reader", test_slow_reader);
    g_test_add_func("/window/shrink", test_shrink);
    g_test_add_func("/window/finish", test_finish);
    g_test_add_func("/window/credit", test_credit);
    return g_test_run();
}
