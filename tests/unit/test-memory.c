// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each allocation of the library fails in turn, through a whole conversation: nothing crashes,
// nothing leaks (the sanitizer build sees that), every counter ends at zero, and the result is
// clear.

#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/session-private.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static struct {
    long left;  // allocations until one fails; negative: none does
    bool after; // all after it fail as well
    long count;
} memory = {.left = -1};

static bool fails(void)
{
    memory.count++;
    if (memory.left < 0)
        return false;
    if (memory.left > 0) {
        memory.left--;
        return false;
    }
    if (!memory.after)
        memory.left = -1;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

// Returns how many allocations there were.
static long converse(long fail_at, bool after, bool *ret_same)
{
    Pair pair;
    memory.left = fail_at;
    memory.after = after;
    memory.count = 0;
    pair_init(&pair, &script_limits, &script_limits);
    *ret_same = false;
    if (pair.guest.session && pair.host.session) {
        end_start(&pair.guest, GUEST_ID);
        end_start(&pair.host, HOST_ID);
        pair_settle(&pair);
        end_expect(&pair.guest, "UP\n");
        end_expect(&pair.host, "UP\n");
        script_run(&pair);
        *ret_same = strcmp(pair.guest.log->str, script_guest_log) == 0 &&
                    strcmp(pair.host.log->str, script_host_log) == 0;
    }
    pair_deinit(&pair);
    memory.left = -1;
    return memory.count;
}

static void test_each(void)
{
    bool same;
    long count = converse(-1, false, &same);
    g_assert_true(same);
    // Two sessions of four, opens that take a channel and a name here and a channel there, and a
    // region's slots here and there.
    g_assert_cmpint(count, ==, 2 * 4 + 7 * 3 + 2);
    for (long i = 0; i < count; i++) {
        converse(i, false, &same);
        g_assert_false(same); // none of them goes unnoticed
    }
}

static void test_all_after(void)
{
    bool same;
    long count = converse(-1, false, &same);
    for (long i = 0; i < count; i++) {
        converse(i, true, &same);
        g_assert_false(same);
    }
}

static void test_new(void)
{
    for (long i = 0; i < 4; i++) {
        MuxSession *session = (MuxSession *)&memory; // must be left alone
        memory.left = i;
        memory.after = false;
        g_assert_cmpint(mux_session_new(MUX_GUEST, NULL, &session), ==, -ENOMEM);
        g_assert_true((void *)session == (void *)&memory);
    }
    memory.left = -1;
}

// No memory for an open of ours: the caller is told, and nothing else happened.
static void test_open(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    for (long i = 0; i < 2; i++) {
        MuxChannel *channel;
        memory.left = i;
        memory.after = false;
        g_assert_cmpint(
            mux_session_open(pair.guest.session, &(MuxOpening){.name = "a", .length = 1}, &channel),
            ==, -ENOMEM);
        g_assert_cmpuint(end_info(&pair.guest).budget_used, ==, 0);
        g_assert_cmpuint(end_info(&pair.guest).channels, ==, 0);
    }
    pair_settle(&pair);
    end_expect(&pair.host, "");
    g_assert_cmpuint(channel_id(end_open(&pair.guest, "a")), ==, 1);
    pair_settle(&pair);
    end_expect(&pair.host, "OPEN 1 a\n");
    pair_deinit(&pair);
}

// No memory for an open of the peer's: the session ends, and says why.
static void test_asked(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    end_open(&pair.guest, "a");
    memory.left = 0;
    memory.after = false;
    pair_settle(&pair);
    end_expect(&pair.host, "DOWN memory: no memory for a channel\n");
    g_assert_cmpuint(end_info(&pair.host).budget_used, ==, 0);
    pair_deinit(&pair);
}

// No memory for a region's slots: the one that there is stays, and goes on.
static void test_region(void)
{
    static uint8_t bytes[4 * 64];
    MuxRegion region = {bytes, 1, 1, {{64, 4}}};
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = true;
    pair_up(&pair);
    pair_share(&pair.guest, &pair.host, 1, bytes, 64, 4);
    MuxChannel *channel = end_open(&pair.guest, "a");
    pair_settle(&pair);
    mux_channel_set_path(channel, MUX_PATH_SHARED, 0);
    end_forget(&pair.host);
    region.epoch = 2;
    for (unsigned ours = 0; ours < 2; ours++) {
        memory.left = 0;
        memory.after = false;
        End *end = ours ? &pair.guest : &pair.host;
        g_assert_cmpint(mux_session_set_region(end->session, ours, &region), ==, -ENOMEM);
    }
    g_assert_cmpuint(end_write(&pair.guest, channel, "still", 5), ==, 5);
    pair_settle(&pair);
    end_expect(&pair.host, "SHARED 1 still\n");
    pair_deinit(&pair);
}

// A table that cannot grow gets slower, and loses nothing.
static void test_table(void)
{
    static MuxEntry entries[1000];
    MuxTable table;
    g_assert_cmpint(mux_table_init(&table, 0), ==, 0);
    memory.left = 0;
    memory.after = true;
    for (uint32_t i = 0; i < G_N_ELEMENTS(entries); i++) {
        entries[i].id = i;
        mux_table_add(&table, &entries[i]);
    }
    memory.left = -1;
    g_assert_cmpuint(table.size, ==, 64);
    for (uint32_t i = 0; i < G_N_ELEMENTS(entries); i++)
        g_assert_true(mux_table_find(&table, i) == &entries[i]);
    mux_table_deinit(&table);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory/new", test_new);
    g_test_add_func("/memory/open", test_open);
    g_test_add_func("/memory/asked", test_asked);
    g_test_add_func("/memory/region", test_region);
    g_test_add_func("/memory/table", test_table);
    g_test_add_func("/memory/each-in-turn", test_each);
    g_test_add_func("/memory/all-after", test_all_after);
    return g_test_run();
}
