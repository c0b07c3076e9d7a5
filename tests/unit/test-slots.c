// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// slots.c: geometry, who may take which slot, and what a peer may say of them. No test here maps a
// byte of the memory that the slots divide: nothing in slots.c reads or writes it.

#include "proto/slots.h"

#include <errno.h>
#include <glib.h>

#include "proto/limits.h"

#define BASE  ((uint8_t *)0x100000)
#define EPOCH 0xabcd0001u

static const MuxRegion mixed = {BASE, EPOCH, 3, {{1000, 2}, {16, 4}, {100, 3}}};

static void make(MuxSlots *slots, const MuxRegion *region, bool ours)
{
    *slots = (MuxSlots){0};
    g_assert_cmpint(mux_slots_init(slots, region, ours), ==, 0);
}

// --- geometry

static void test_geometry(void)
{
    static const MuxRegion bad[] = {
        {BASE, 1, 0, {{1, 1}}},
        {BASE, 1, MUX_SLOT_CLASSES + 1, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}},
        {BASE, 1, UINT_MAX, {{1, 1}}},
        {BASE, 1, 1, {{0, 1}}},
        {BASE, 1, 1, {{1, 0}}},
        {BASE, 1, 2, {{1, 1}, {1, 0}}},
        {BASE, 1, 1, {{MUX_SLOT_MAX + 1, 1}}},
        {BASE, 1, 1, {{UINT32_MAX, 1}}},
        {BASE, 1, 1, {{1, MUX_SLOTS_MAX + 1}}},
        {BASE, 1, 2, {{1, MUX_SLOTS_MAX}, {1, 1}}},
        {BASE, 1, 2, {{1, UINT32_MAX}, {1, 2}}}, // 1, if it were added in 32 bits
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        MuxSlots slots = {.count = 77};
        g_assert_cmpint(mux_slots_init(&slots, &bad[i], i % 2), ==, -EINVAL);
        g_assert_cmpuint(slots.count, ==, 77);
    }
}

static void test_greatest(void)
{
    static const MuxRegion most = {BASE, 1, 1, {{MUX_SLOT_MAX, MUX_SLOTS_MAX}}};
    MuxSlots slots;
    uint32_t size;
    make(&slots, &most, true);
    g_assert_cmpuint(slots.free_bytes, ==, (uint64_t)MUX_SLOT_MAX * MUX_SLOTS_MAX);
    g_assert_true(mux_slots_at(&slots, MUX_SLOTS_MAX - 1, &size) ==
                  BASE + (size_t)MUX_SLOT_MAX * (MUX_SLOTS_MAX - 1));
    mux_slots_deinit(&slots);
    mux_slots_deinit(&slots);
    g_assert_null(slots.slots);
}

// One behind the other, in the order of the classes, without gaps.
static void test_at(void)
{
    static const uint32_t sizes[] = {1000, 1000, 16, 16, 16, 16, 100, 100, 100};
    MuxSlots slots;
    uint8_t *at = BASE;
    make(&slots, &mixed, true);
    g_assert_cmpuint(slots.count, ==, G_N_ELEMENTS(sizes));
    for (uint32_t slot = 0; slot < G_N_ELEMENTS(sizes); slot++) {
        uint32_t size;
        g_assert_true(mux_slots_at(&slots, slot, &size) == at);
        g_assert_cmpuint(size, ==, sizes[slot]);
        at += size;
    }
    g_assert_cmpuint(slots.free_bytes, ==, (uint64_t)(at - BASE));
    mux_slots_deinit(&slots);
}

// --- taking

static uint32_t size_of(const MuxSlots *slots, uint32_t slot)
{
    uint32_t size;
    (void)mux_slots_at(slots, slot, &size);
    return size;
}

static void test_choice(void)
{
    static const struct {
        uint32_t want, size;
    } cases[] = {{1, 16},     {16, 16},     {17, 100},    {100, 100},
                 {101, 1000}, {1000, 1000}, {1001, 1000}, {UINT32_MAX, 1000}};
    MuxSlots slots;
    make(&slots, &mixed, true);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint32_t slot = mux_slots_take(&slots, cases[i].want, 0);
        g_assert_cmpuint(size_of(&slots, slot), ==, cases[i].size);
        g_assert_cmpuint(slots.used, ==, 1);
        mux_slots_put(&slots, slot);
        g_assert_cmpuint(slots.used, ==, 0);
    }
    mux_slots_deinit(&slots);
}

// When those of the best size are gone, the next larger ones; when there are none, the largest.
static void test_runs_out(void)
{
    static const uint32_t sizes[] = {100, 100, 100, 1000, 1000, 16, 16, 16, 16};
    MuxSlots slots;
    bool seen[9] = {false};
    make(&slots, &mixed, true);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint32_t slot = mux_slots_take(&slots, 90, 0);
        g_assert_cmpuint(slot, <, 9);
        g_assert_false(seen[slot]);
        seen[slot] = true;
        g_assert_cmpuint(size_of(&slots, slot), ==, sizes[i]);
    }
    g_assert_cmpuint(slots.free_bytes, ==, 0);
    g_assert_cmpuint(mux_slots_take(&slots, 1, 0), ==, MUX_SLOT_NONE);
    mux_slots_put(&slots, 4);
    g_assert_cmpuint(mux_slots_take(&slots, 90, 0), ==, 4);
    mux_slots_deinit(&slots);
}

// Each takes in turns what it gets, and gives nothing back. Returns how many bytes the first has.
static uint64_t share_out(unsigned takers, uint32_t count)
{
    const MuxRegion region = {BASE, 1, 1, {{10, count}}};
    uint64_t held[4] = {0};
    MuxSlots slots;
    bool any = true;
    make(&slots, &region, true);
    while (any) {
        any = false;
        for (unsigned i = 0; i < takers; i++) {
            if (mux_slots_take(&slots, 10, held[i]) == MUX_SLOT_NONE)
                continue;
            held[i] += 10;
            any = true;
        }
    }
    for (unsigned i = 1; i < takers; i++)
        g_assert_cmpuint(held[0] - held[i], <=, 10);
    // One that comes then still gets something.
    g_assert_cmpuint(mux_slots_take(&slots, 10, 0), !=, MUX_SLOT_NONE);
    mux_slots_deinit(&slots);
    return held[0];
}

static void test_threshold(void)
{
    g_assert_cmpuint(share_out(1, 60), ==, 300);
    g_assert_cmpuint(share_out(2, 60), ==, 200);
    g_assert_cmpuint(share_out(3, 60), ==, 150);
    g_assert_cmpuint(share_out(1, 61), ==, 310);
}

static void test_threshold_exact(void)
{
    static const MuxRegion one = {BASE, 1, 1, {{10, 1}}};
    MuxSlots slots;
    make(&slots, &one, true);
    g_assert_cmpuint(mux_slots_take(&slots, 10, 1), ==, MUX_SLOT_NONE);
    g_assert_cmpuint(mux_slots_take(&slots, 10, UINT32_MAX), ==, MUX_SLOT_NONE);
    g_assert_cmpuint(mux_slots_take(&slots, 10, 0), ==, 0);
    mux_slots_deinit(&slots);
    // A smaller one fits where the best does not.
    make(&slots, &mixed, true);
    g_assert_cmpuint(size_of(&slots, mux_slots_take(&slots, 1000, slots.free_bytes - 999)), ==,
                     100);
    g_assert_cmpuint(size_of(&slots, mux_slots_take(&slots, 1000, slots.free_bytes - 99)), ==, 16);
    g_assert_cmpuint(mux_slots_take(&slots, 1000, slots.free_bytes - 15), ==, MUX_SLOT_NONE);
    mux_slots_deinit(&slots);
}

// --- what the peer gives back

static void test_returned(void)
{
    MuxSlots slots;
    make(&slots, &mixed, true);
    uint32_t slot = mux_slots_take(&slots, 16, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 0), ==, 0); // taken, and not lent yet
    uint32_t generation = mux_slots_lend(&slots, slot, 5);
    g_assert_cmpuint(generation, ==, 1);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 0), ==, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 2), ==, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, slot + 1, 1), ==, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, slots.count, 1), ==, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, MUX_SLOT_NONE, 1), ==, 0);
    g_assert_cmpuint(slots.used, ==, 1);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 1), ==, 5);
    g_assert_cmpuint(slots.used, ==, 0);
    g_assert_cmpuint(slots.free_bytes, ==, 2364);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 1), ==, 0); // twice
    // The next time it is of the next generation; not using it is none.
    g_assert_cmpuint(mux_slots_take(&slots, 16, 0), ==, slot);
    mux_slots_put(&slots, slot);
    g_assert_cmpuint(mux_slots_take(&slots, 16, 0), ==, slot);
    g_assert_cmpuint(mux_slots_lend(&slots, slot, 7), ==, 2);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 1), ==, 0);
    g_assert_cmpuint(mux_slots_returned(&slots, slot, 2), ==, 7);
    mux_slots_deinit(&slots);
}

// --- references

#define REGION     "a reference into a region that there is not"
#define SLOT       "a reference to a slot that there is not"
#define GENERATION "a reference to a slot that was not given back, or of another generation"
#define BEYOND     "a reference that goes beyond its slot"

// Slot 7 has 100 bytes.
static const struct {
    MuxReference reference;
    const char *error;
} references[] = {
    {{EPOCH + 1, 7, 1, 0, 1}, REGION},
    {{0, 7, 1, 0, 1}, REGION},
    {{UINT32_MAX, 7, 1, 0, 1}, REGION},
    {{EPOCH, 9, 1, 0, 1}, SLOT},
    {{EPOCH, 65536 + 7, 1, 0, 1}, SLOT},
    {{EPOCH, 1u << 31, 1, 0, 1}, SLOT},
    {{EPOCH, UINT32_MAX, 1, 0, 1}, SLOT},
    {{EPOCH, 7, 0, 0, 1}, GENERATION},
    {{EPOCH, 7, 2, 0, 1}, GENERATION},
    {{EPOCH, 7, UINT32_MAX, 0, 1}, GENERATION},
    {{EPOCH, 7, 1, 0, 0}, BEYOND},
    {{EPOCH, 7, 1, 100, 0}, BEYOND},
    {{EPOCH, 7, 1, 0, 101}, BEYOND},
    {{EPOCH, 7, 1, 99, 2}, BEYOND},
    {{EPOCH, 7, 1, 100, 1}, BEYOND},
    {{EPOCH, 7, 1, 101, 1}, BEYOND},
    {{EPOCH, 7, 1, 101, UINT32_MAX}, BEYOND},
    {{EPOCH, 7, 1, 0, UINT32_MAX}, BEYOND},
    {{EPOCH, 7, 1, UINT32_MAX, 1}, BEYOND},
    {{EPOCH, 7, 1, UINT32_MAX, 2}, BEYOND}, // 1, if it were added
    {{EPOCH, 7, 1, UINT32_MAX, UINT32_MAX}, BEYOND},
    {{EPOCH, 7, 1, 1, UINT32_MAX}, BEYOND}, // 0
    {{EPOCH, 7, 1, 1u << 31, 1u << 31}, BEYOND},
    {{EPOCH, 7, 1, 50, UINT32_MAX - 49}, BEYOND},
    {{EPOCH, 7, 1, 0, 1}, NULL},
    {{EPOCH, 7, 1, 0, 100}, NULL},
    {{EPOCH, 7, 1, 99, 1}, NULL},
    {{EPOCH, 7, 1, 40, 60}, NULL},
};

static void test_references(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(references); i++) {
        const MuxReference *reference = &references[i].reference;
        const uint8_t *base = NULL;
        MuxSlots slots;
        make(&slots, &mixed, false);
        g_assert_cmpstr(mux_slots_receive(&slots, reference, &base), ==, references[i].error);
        g_assert_cmpuint(slots.used, ==, references[i].error ? 0 : 1);
        if (!references[i].error)
            g_assert_true(base == BASE + 2000 + 64 + 100 + reference->offset);
        // What came before is no matter: a good one is good, once.
        const MuxReference good = {EPOCH, 2, 1, 3, 13};
        g_assert_null(mux_slots_receive(&slots, &good, &base));
        g_assert_true(base == BASE + 2000 + 3);
        g_assert_cmpstr(mux_slots_receive(&slots, &good, &base), ==, GENERATION);
        mux_slots_deinit(&slots);
    }
}

static void test_no_region(void)
{
    MuxSlots none = {0};
    const MuxReference zeros = {0};
    const uint8_t *base;
    uint32_t generation;
    g_assert_cmpstr(mux_slots_receive(&none, &zeros, &base), ==, REGION);
    g_assert_cmpuint(mux_slots_next_given(&none, &generation), ==, MUX_SLOT_NONE);
    mux_slots_deinit(&none);
}

static void receive_next(MuxSlots *slots, uint32_t slot, uint32_t generation, const char *error)
{
    const uint8_t *base;
    const MuxReference reference = {EPOCH, slot, generation, 0, 1};
    g_assert_cmpstr(mux_slots_receive(slots, &reference, &base), ==, error);
}

static void expect_given(MuxSlots *slots, uint32_t slot, uint32_t generation)
{
    uint32_t said = 0xabcd;
    g_assert_cmpuint(mux_slots_next_given(slots, &said), ==, slot);
    g_assert_cmpuint(said, ==, generation);
}

// In the order in which they are given; a slot is free when that is said, and not before.
static void test_give(void)
{
    MuxSlots slots;
    make(&slots, &mixed, false);
    for (uint32_t slot = 0; slot < 4; slot++)
        receive_next(&slots, slot, 1, NULL);
    mux_slots_give(&slots, 2);
    mux_slots_give(&slots, 0);
    receive_next(&slots, 2, 2, GENERATION);
    g_assert_cmpuint(slots.used, ==, 4);
    expect_given(&slots, 2, 1);
    receive_next(&slots, 2, 1, GENERATION);
    receive_next(&slots, 2, 2, NULL);
    mux_slots_give(&slots, 2);
    mux_slots_give(&slots, 3);
    expect_given(&slots, 0, 1);
    expect_given(&slots, 2, 2);
    expect_given(&slots, 3, 1);
    expect_given(&slots, MUX_SLOT_NONE, 0xabcd);
    mux_slots_give(&slots, 1);
    expect_given(&slots, 1, 1);
    g_assert_cmpuint(slots.used, ==, 0);
    mux_slots_deinit(&slots);
}

// Two thousand million uses later, the number begins anew at both ends.
static void test_wrap(void)
{
    MuxSlots ours, theirs;
    make(&ours, &mixed, true);
    make(&theirs, &mixed, false);
    ours.slots[2].generation = theirs.slots[2].generation = UINT32_MAX - 1;
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(mux_slots_take(&ours, 1, 0), ==, 2);
        uint32_t generation = mux_slots_lend(&ours, 2, 1);
        g_assert_cmpuint(generation, ==, UINT32_MAX + i);
        receive_next(&theirs, 2, generation, NULL);
        mux_slots_give(&theirs, 2);
        expect_given(&theirs, 2, generation);
        g_assert_cmpuint(mux_slots_returned(&ours, 2, generation), ==, 1);
    }
    mux_slots_deinit(&ours);
    mux_slots_deinit(&theirs);
}

// Whoever gives twice would hand out a slot that is somebody else's.
static void test_give_twice(void)
{
    if (g_test_subprocess()) {
        MuxSlots slots;
        make(&slots, &mixed, false);
        receive_next(&slots, 1, 1, NULL);
        mux_slots_give(&slots, 1);
        mux_slots_give(&slots, 1);
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*mux_slots_give*");
}

// --- both ends, at random

typedef struct Both {
    GRand *random;
    MuxSlots ours, theirs;
    uint64_t held[4];      // bytes, by channel
    GArray *there, *given; // slots that the reader has, or has given
    uint32_t owner[64];    // of each slot: the channel, or 0
} Both;

static uint32_t pick(Both *both, GArray *from)
{
    guint i = (guint)g_rand_int_range(both->random, 0, (gint)from->len);
    uint32_t slot = g_array_index(from, uint32_t, i);
    g_array_remove_index_fast(from, i);
    return slot;
}

static void send_one(Both *both)
{
    uint32_t channel = (uint32_t)g_rand_int_range(both->random, 1, 4);
    uint32_t want = (uint32_t)g_rand_int_range(both->random, 1, 1200);
    uint32_t slot = mux_slots_take(&both->ours, want, both->held[channel]);

    if (slot == MUX_SLOT_NONE)
        return;
    g_assert_cmpuint(both->owner[slot], ==, 0);
    if (g_rand_int_range(both->random, 0, 4) == 0) {
        mux_slots_put(&both->ours, slot);
        return;
    }
    both->owner[slot] = channel;
    both->held[channel] += size_of(&both->ours, slot);
    uint32_t generation = mux_slots_lend(&both->ours, slot, channel);
    receive_next(&both->theirs, slot, generation, NULL);
    g_array_append_val(both->there, slot);
}

static void give_one(Both *both)
{
    if (both->there->len == 0)
        return;
    uint32_t slot = pick(both, both->there);
    mux_slots_give(&both->theirs, slot);
    g_array_append_val(both->given, slot);
}

static void return_one(Both *both)
{
    uint32_t generation, slot = mux_slots_next_given(&both->theirs, &generation);

    if (slot == MUX_SLOT_NONE) {
        g_assert_cmpuint(both->given->len, ==, 0);
        return;
    }
    g_assert_cmpuint(slot, ==, g_array_index(both->given, uint32_t, 0));
    g_array_remove_index(both->given, 0);
    g_assert_cmpuint(mux_slots_returned(&both->ours, slot, generation), ==, both->owner[slot]);
    both->held[both->owner[slot]] -= size_of(&both->ours, slot);
    both->owner[slot] = 0;
}

static void check_both(const Both *both)
{
    uint64_t all = 0, held = both->held[1] + both->held[2] + both->held[3];
    for (uint32_t slot = 0; slot < both->ours.count; slot++)
        all += size_of(&both->ours, slot);
    g_assert_cmpuint(both->ours.free_bytes, ==, all - held);
    g_assert_cmpuint(both->ours.used, ==, both->there->len + both->given->len);
    g_assert_cmpuint(both->theirs.used, ==, both->ours.used);
}

static void run_both(guint32 seed)
{
    Both both = {.random = g_rand_new_with_seed(seed)};
    static const MuxRegion region = {BASE, EPOCH, 4, {{16, 7}, {1000, 3}, {100, 12}, {1, 40}}};
    make(&both.ours, &region, true);
    make(&both.theirs, &region, false);
    both.there = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    both.given = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (unsigned i = 0; i < 20000; i++) {
        void (*const acts[])(Both *) = {send_one, give_one, return_one};
        acts[g_rand_int_range(both.random, 0, 3)](&both);
        check_both(&both);
    }
    while (both.there->len > 0)
        give_one(&both);
    while (both.given->len > 0)
        return_one(&both);
    check_both(&both);
    g_assert_cmpuint(both.ours.used, ==, 0);
    g_array_unref(both.there);
    g_array_unref(both.given);
    mux_slots_deinit(&both.ours);
    mux_slots_deinit(&both.theirs);
    g_rand_free(both.random);
}

static void test_random(void)
{
    for (guint32 seed = 1; seed <= 10; seed++)
        run_both(seed);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/slots/geometry", test_geometry);
    g_test_add_func("/slots/greatest", test_greatest);
    g_test_add_func("/slots/at", test_at);
    g_test_add_func("/slots/choice", test_choice);
    g_test_add_func("/slots/runs-out", test_runs_out);
    g_test_add_func("/slots/threshold", test_threshold);
    g_test_add_func("/slots/threshold-exact", test_threshold_exact);
    g_test_add_func("/slots/returned", test_returned);
    g_test_add_func("/slots/references", test_references);
    g_test_add_func("/slots/no-region", test_no_region);
    g_test_add_func("/slots/give", test_give);
    g_test_add_func("/slots/give-twice", test_give_twice);
    g_test_add_func("/slots/wrap", test_wrap);
    g_test_add_func("/slots/random", test_random);
    return g_test_run();
}
