// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// bucket.c: so many at once, so many a second, whatever the steps in which time passes.

#include <glib.h>

#include "proto/bucket.h"

#define SECOND 1000000u

static unsigned take_all(MuxBucket *bucket, uint64_t now)
{
    unsigned n = 0;
    while (mux_bucket_take(bucket, now))
        n++;
    return n;
}

static void test_burst(void)
{
    MuxBucket bucket;
    mux_bucket_init(&bucket, 10, 5, 7 * SECOND);
    g_assert_cmpuint(take_all(&bucket, 7 * SECOND), ==, 10);
    g_assert_cmpuint(take_all(&bucket, 7 * SECOND), ==, 0);
}

static void test_refill(void)
{
    MuxBucket bucket;
    mux_bucket_init(&bucket, 10, 5, 0);
    take_all(&bucket, 0);
    g_assert_cmpuint(take_all(&bucket, SECOND / 5 - 1), ==, 0);
    g_assert_cmpuint(take_all(&bucket, SECOND / 5), ==, 1);
    g_assert_cmpuint(take_all(&bucket, SECOND), ==, 4);
    g_assert_cmpuint(take_all(&bucket, 3 * SECOND - 1), ==, 9);
    g_assert_cmpuint(take_all(&bucket, 3 * SECOND), ==, 1);
    // Never more than the burst, however long it took.
    g_assert_cmpuint(take_all(&bucket, 1000 * SECOND), ==, 10);
    g_assert_cmpuint(take_all(&bucket, UINT64_MAX), ==, 10);
}

// A part of it is taken, and what is not taken stays.
static void test_keeps(void)
{
    MuxBucket bucket;
    mux_bucket_init(&bucket, 3, 1, 0);
    g_assert_true(mux_bucket_take(&bucket, 0));
    g_assert_true(mux_bucket_take(&bucket, SECOND / 2));
    g_assert_cmpuint(take_all(&bucket, SECOND / 2), ==, 1);
    g_assert_cmpuint(take_all(&bucket, SECOND - 1), ==, 0);
    g_assert_cmpuint(take_all(&bucket, SECOND), ==, 1);
}

// It fills up before the time for a whole burst has passed, and stays full.
static void test_full(void)
{
    MuxBucket bucket;
    mux_bucket_init(&bucket, 3, 1, 0);
    g_assert_true(mux_bucket_take(&bucket, 0));
    g_assert_cmpuint(take_all(&bucket, 2 * SECOND + SECOND / 2), ==, 3);
}

// Asked every few microseconds, it gives what it would have given at once: no fraction is lost, and
// hardly one is won.
static void test_steps(void)
{
    static const unsigned steps[] = {1, 3, 7, 97, 488, 489, 1000, 100003};
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        MuxBucket bucket;
        uint64_t taken = 0;
        mux_bucket_init(&bucket, 4096, 2048, 0);
        take_all(&bucket, 0);
        for (uint64_t now = 0; now <= 2 * SECOND; now += steps[i])
            taken += take_all(&bucket, now);
        taken += take_all(&bucket, 2 * SECOND);
        g_assert_cmpuint(taken, >=, 4096);
        g_assert_cmpuint(taken, <=, 4096 + 8);
    }
}

// A clock that goes back gives nothing, and takes nothing.
static void test_back(void)
{
    MuxBucket bucket;
    mux_bucket_init(&bucket, 2, 1, 10 * SECOND);
    take_all(&bucket, 10 * SECOND);
    g_assert_cmpuint(take_all(&bucket, 5 * SECOND), ==, 0);
    g_assert_cmpuint(take_all(&bucket, 11 * SECOND), ==, 1);
}

// Several at once, or none: who asks for too many leaves those that there are to others.
static void test_some(void)
{
    MuxBucket bucket;

    mux_bucket_init(&bucket, 10, 10, 0);
    g_assert_false(mux_bucket_take_some(&bucket, 11, 0));
    g_assert_true(mux_bucket_take_some(&bucket, 7, 0));
    g_assert_false(mux_bucket_take_some(&bucket, 4, 0));
    g_assert_true(mux_bucket_take_some(&bucket, 3, 0));
    g_assert_false(mux_bucket_take(&bucket, 0));
    g_assert_false(mux_bucket_take_some(&bucket, 5, 400000));
    g_assert_true(mux_bucket_take_some(&bucket, 5, 500000));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bucket/burst", test_burst);
    g_test_add_func("/bucket/refill", test_refill);
    g_test_add_func("/bucket/keeps", test_keeps);
    g_test_add_func("/bucket/full", test_full);
    g_test_add_func("/bucket/steps", test_steps);
    g_test_add_func("/bucket/back", test_back);
    g_test_add_func("/bucket/some", test_some);
    return g_test_run();
}
