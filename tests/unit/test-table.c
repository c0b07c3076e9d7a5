// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// table.c, and the lists and integers that are so small that they live in their headers.

#include <glib.h>

#include "proto/bytes.h"
#include "proto/list.h"
#include "proto/table.h"

#define MANY 5000

static uint32_t id_of(unsigned i, uint32_t stride)
{
    return 1 + i * stride;
}

// Walks all entries; each one is there once.
static void assert_walk(const MuxTable *table, uint32_t count)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    MuxEntry *entry = NULL;
    while ((entry = mux_table_next(table, entry)))
        g_assert_true(g_hash_table_add(seen, entry));
    g_assert_cmpuint(g_hash_table_size(seen), ==, count);
    g_assert_cmpuint(table->count, ==, count);
}

static void fill_and_empty(uint32_t stride)
{
    g_autofree MuxEntry *entries = g_new0(MuxEntry, MANY);
    MuxTable table;
    g_assert_cmpint(mux_table_init(&table, 0), ==, 0);
    for (unsigned i = 0; i < MANY; i++) {
        entries[i].id = id_of(i, stride);
        mux_table_add(&table, &entries[i]);
    }
    assert_walk(&table, MANY);
    for (unsigned i = 0; i < MANY; i += 2)
        mux_table_remove(&table, &entries[i]);
    assert_walk(&table, MANY / 2);
    for (unsigned i = 0; i < MANY; i++)
        g_assert_true(mux_table_find(&table, entries[i].id) == (i % 2 ? &entries[i] : NULL));
    mux_table_remove(&table, &entries[0]); // is not there
    assert_walk(&table, MANY / 2);
    g_assert_null(mux_table_find(&table, 0));
    mux_table_clear(&table);
    assert_walk(&table, 0);
    mux_table_deinit(&table);
}

static void test_ids(void)
{
    fill_and_empty(1);
    fill_and_empty(2);
    fill_and_empty(64);
    fill_and_empty(1u << 16);
}

static unsigned longest_bucket(const MuxTable *table)
{
    unsigned longest = 0;
    for (uint32_t b = 0; b < table->size; b++) {
        unsigned n = 0;
        for (MuxEntry *entry = table->buckets[b]; entry; entry = entry->next)
            n++;
        longest = MAX(longest, n);
    }
    return longest;
}

static void test_strides(void)
{
    for (uint32_t stride = 2; stride <= 1u << 18; stride *= 2) {
        g_autofree MuxEntry *entries = g_new0(MuxEntry, MANY);
        MuxTable table;
        g_assert_cmpint(mux_table_init(&table, 0), ==, 0);
        for (unsigned i = 0; i < MANY; i++) {
            entries[i].id = id_of(i, stride);
            mux_table_add(&table, &entries[i]);
        }
        g_assert_cmpuint(longest_bucket(&table), <=, 8);
        mux_table_deinit(&table);
    }
}

// A peer that looks for ids of one bucket finds them, as long as it knows the seed.
static void test_collisions(void)
{
    g_autofree MuxEntry *entries = g_new0(MuxEntry, MANY);
    MuxTable known, secret;
    uint32_t n = 0;

    g_assert_cmpint(mux_table_init(&known, 0), ==, 0);
    g_assert_cmpint(mux_table_init(&secret, 0x5bd1e9955bd1e995), ==, 0);
    for (uint64_t id = 1; n < MANY / 5 && id < UINT32_MAX; id += 2) {
        if ((id * known.factor) >> 51 == 1) {
            entries[n].id = (uint32_t)id;
            mux_table_add(&known, &entries[n++]);
        }
    }
    g_assert_cmpuint(n, ==, MANY / 5);
    g_assert_cmpuint(longest_bucket(&known), ==, MANY / 5);
    mux_table_clear(&known);
    for (uint32_t i = 0; i < n; i++)
        mux_table_add(&secret, &entries[i]);
    g_assert_cmpuint(longest_bucket(&secret), <=, 12);
    mux_table_deinit(&known);
    mux_table_deinit(&secret);
}

static void test_grows(void)
{
    g_autofree MuxEntry *entries = g_new0(MuxEntry, 65);
    MuxTable table;
    g_assert_cmpint(mux_table_init(&table, 0), ==, 0);
    for (unsigned i = 0; i < 64; i++) {
        entries[i].id = i;
        mux_table_add(&table, &entries[i]);
    }
    g_assert_cmpuint(table.size, ==, 64);
    entries[64].id = 64;
    mux_table_add(&table, &entries[64]);
    g_assert_cmpuint(table.size, ==, 128);
    assert_walk(&table, 65);
    mux_table_deinit(&table);
    mux_table_deinit(&table); // harmless
}

static void test_list(void)
{
    MuxList list, a, b;
    mux_list_init(&list);
    mux_list_init(&a);
    mux_list_init(&b);
    g_assert_true(mux_list_empty(&list) && mux_list_empty(&a));
    g_assert_null(mux_list_first(&list));
    mux_list_append(&list, &a);
    mux_list_append(&list, &b);
    g_assert_true(mux_list_first(&list) == &a && a.next == &b && b.next == &list);
    mux_list_append(&list, &a); // moves to the end
    g_assert_true(mux_list_first(&list) == &b && b.next == &a && a.next == &list);
    mux_list_remove(&b);
    mux_list_remove(&b); // harmless
    g_assert_true(mux_list_first(&list) == &a && mux_list_empty(&b));
    mux_list_remove(&a);
    g_assert_true(mux_list_empty(&list));
}

static void test_bytes(void)
{
    uint8_t p[8];
    mux_put16(p, 0x0201);
    g_assert_cmpmem(p, 2, "\1\2", 2);
    mux_put32(p, 0x84030201);
    g_assert_cmpmem(p, 4, "\1\2\3\x84", 4);
    mux_put64(p, 0xf807060504030201);
    g_assert_cmpmem(p, 8, "\1\2\3\4\5\6\7\xf8", 8);
    g_assert_cmphex(mux_get16(p + 6), ==, 0xf807);
    g_assert_cmphex(mux_get32(p + 4), ==, 0xf8070605);
    g_assert_cmphex(mux_get64(p), ==, 0xf807060504030201);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/table/ids", test_ids);
    g_test_add_func("/table/strides", test_strides);
    g_test_add_func("/table/collisions", test_collisions);
    g_test_add_func("/table/grows", test_grows);
    g_test_add_func("/table/list", test_list);
    g_test_add_func("/table/bytes", test_bytes);
    return g_test_run();
}
