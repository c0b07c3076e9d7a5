// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// references.c, the sending end: which bytes go through shared memory, that everything else is as
// with DATA (order, credit, turns, what is in flight), and what a peer may give back.

#include <errno.h>
#include <string.h>

#include "forge.h"
#include "proto/bytes.h"
#include "proto/channel.h"
#include "proto/limits.h"

#define EPOCH 0xaaaau

static uint8_t memory[80 * 65536];
static char much[8 * MUX_FLIGHT_MAX];

static void set_region(Forge *forge, uint32_t epoch, uint32_t size, uint32_t count)
{
    const MuxRegion region = {memory, epoch, 1, {{size, count}}};
    g_assert_cmpint(mux_session_set_region(forge->end.session, true, &region), ==, 0);
}

// A guest with a region, and what its peer was told is forgotten.
static void begin(Forge *forge, uint32_t size, uint32_t count)
{
    forge_up(forge, MUX_GUEST, NULL, NULL);
    set_region(forge, EPOCH, size, count);
}

static MuxChannel *channel_of(Forge *forge, uint64_t credit, MuxPath path)
{
    MuxChannel *channel = end_open(&forge->end, "a");
    forge_listen(forge);
    forge_accept(forge, channel_id(channel), credit);
    mux_channel_set_path(channel, path, 0);
    g_string_truncate(forge->said, 0);
    end_forget(&forge->end);
    return channel;
}

static unsigned used(const Forge *forge)
{
    return end_region(&forge->end, true).used;
}

static void write_some(Forge *forge, MuxChannel *channel, size_t n)
{
    while (n > 0) {
        size_t part = end_write(&forge->end, channel, much, n);
        g_assert_cmpuint(part, >, 0);
        n -= part;
        if (n > 0)
            forge_listen(forge); // the batch is full
    }
}

// --- when

static void test_path(void)
{
    Forge forge;
    begin(&forge, 64, 8);
    MuxChannel *channel = channel_of(&forge, 1000, MUX_PATH_AUTO);
    write_some(&forge, channel, 40); // nothing is said of where it is faster
    forge_expect(&forge, "DATA 1 <40>\n");
    mux_channel_set_path(channel, MUX_PATH_SHARED, 0);
    write_some(&forge, channel, 40);
    forge_expect(&forge, "REF 1 aaaa/0.1+0 <40>\n");
    g_assert_cmpmem(memory, 40, much, 40);
    mux_channel_set_path(channel, MUX_PATH_INLINE, 0);
    mux_session_set_threshold(forge.end.session, 1);
    write_some(&forge, channel, 40);
    forge_expect(&forge, "DATA 1 <40>\n");
    MuxRegionInfo info = end_region(&forge.end, true);
    g_assert_cmpuint(info.shared, ==, 40);
    g_assert_cmpuint(info.port, ==, 80);
    g_assert_cmpuint(info.slots, ==, 8);
    g_assert_cmpuint(info.used, ==, 1);
    g_assert_cmphex(info.epoch, ==, EPOCH);
    g_assert_cmpuint(info.threshold, ==, 1);
    forge_deinit(&forge);
}

// A channel has shown that so much is there at once: what follows goes through shared memory, until
// it was less.
static void test_threshold(void)
{
    Forge forge;
    begin(&forge, 512, 8);
    MuxChannel *channel = channel_of(&forge, 10000, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 100);
    write_some(&forge, channel, 99);
    write_some(&forge, channel, 99);
    write_some(&forge, channel, 100);
    forge_expect(&forge, "DATA 1 <99>\nDATA 1 <99>\nDATA 1 <100>\n");
    write_some(&forge, channel, 100);
    write_some(&forge, channel, 99);
    write_some(&forge, channel, 99);
    forge_expect(&forge, "REF 1 aaaa/0.1+0 <100>\nREF 1 aaaa/1.1+0 <99>\nDATA 1 <99>\n");
    mux_session_set_threshold(forge.end.session, 0);
    write_some(&forge, channel, 1);
    forge_expect(&forge, "REF 1 aaaa/2.1+0 <1>\n");
    mux_session_set_threshold(forge.end.session, MUX_NEVER);
    write_some(&forge, channel, 1000);
    write_some(&forge, channel, 1000);
    forge_expect(&forge, "DATA 1 <1000>\nDATA 1 <1000>\n");
    forge_deinit(&forge);
}

// What was there before a pause does not count.
static void test_pause(void)
{
    Forge forge;
    MuxTurn turn;
    begin(&forge, 512, 8);
    MuxChannel *channel = channel_of(&forge, 10000, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 100);
    write_some(&forge, channel, 60);
    mux_channel_ready(channel);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(mux_session_next_turn(forge.end.session, &turn));
        g_assert_true((turn.slot != MUX_SLOT_NONE) == (i == 2));
        mux_session_turn_done(forge.end.session, &turn, 60, i < 2);
    }
    forge_expect(&forge, "DATA 1 <60>\nDATA 1 <60>\nDATA 1 <60>\nREF 1 aaaa/0.1+0 <60>\n");
    forge_deinit(&forge);
}

// An app that had little once is not bound to slots of that size.
static void test_grows_again(void)
{
    const MuxRegion region = {memory, EPOCH, 2, {{50, 9}, {200, 4}}};
    Forge forge;
    MuxTurn turn;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &region), ==, 0);
    MuxChannel *channel = channel_of(&forge, 10000, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 100);
    write_some(&forge, channel, 100);
    mux_channel_ready(channel);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(mux_session_next_turn(forge.end.session, &turn));
        g_assert_cmpuint(turn.slot, ==, 9 + i);
        mux_session_turn_done(forge.end.session, &turn, 10, true);
    }
    forge_deinit(&forge);
}

// In smaller pieces the port is faster, whether it is for want of a larger slot or by `most`.
static void test_small_slots(void)
{
    const MuxRegion region = {memory, EPOCH, 2, {{50, 9}, {200, 4}}};
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &region), ==, 0);
    MuxChannel *channel = channel_of(&forge, 10000, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 100);
    write_some(&forge, channel, 100);
    write_some(&forge, channel, 100);
    forge_expect(&forge, "DATA 1 <100>\nREF 1 aaaa/9.1+0 <100>\n");
    mux_channel_set_path(channel, MUX_PATH_AUTO, 99);
    write_some(&forge, channel, 150);
    mux_channel_set_path(channel, MUX_PATH_AUTO, 100);
    write_some(&forge, channel, 300);
    forge_expect(&forge, "DATA 1 <99>\nDATA 1 <51>\n"
                         "DATA 1 <100>\nREF 1 aaaa/10.1+0 <100>\nREF 1 aaaa/11.1+0 <100>\n");
    write_some(&forge, channel, 300); // there is a fourth, which is not for one that has three
    forge_expect(&forge, "DATA 1 <100>\nDATA 1 <100>\nDATA 1 <100>\n");
    g_assert_cmpuint(used(&forge), ==, 3);
    forge_deinit(&forge);
}

// Full turns add up, while there is more.
static void test_run(void)
{
    Forge forge;
    begin(&forge, 65536, 8);
    MuxChannel *channel = channel_of(&forge, 1000000, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 65536);
    write_some(&forge, channel, 100000);
    forge_expect(&forge, "DATA 1 <32748>\nDATA 1 <32748>\nDATA 1 <32748>\n"
                         "REF 1 aaaa/0.1+0 <1756>\n");
    forge_deinit(&forge);
}

// There is less credit than would be worth it.
static void test_little_credit(void)
{
    Forge forge;
    begin(&forge, 512, 8);
    MuxChannel *channel = channel_of(&forge, 300, MUX_PATH_AUTO);
    mux_session_set_threshold(forge.end.session, 100);
    write_some(&forge, channel, 201);
    g_assert_cmpuint(end_write(&forge.end, channel, much, 500), ==, 99);
    forge_number(&forge, MUX_FRAME_CREDIT, 1, 400);
    g_assert_cmpuint(end_write(&forge.end, channel, much, 500), ==, 100);
    forge_expect(&forge, "DATA 1 <201>\nDATA 1 <99>\nREF 1 aaaa/0.1+0 <100>\n");
    forge_deinit(&forge);
}

// Slots follow what there is to send, and `most` holds for both ways.
static void test_sizes(void)
{
    const MuxRegion region = {memory, EPOCH, 3, {{64, 4}, {65536, 4}, {1024, 4}}};
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &region), ==, 0);
    MuxChannel *channel = channel_of(&forge, MUX_CREDIT_MAX, MUX_PATH_SHARED);
    write_some(&forge, channel, 200);  // 65,536 at first
    write_some(&forge, channel, 30);   // 400 wanted
    write_some(&forge, channel, 64);   // 60
    write_some(&forge, channel, 1024); // 128
    write_some(&forge, channel, 1025); // 2048
    forge_expect(&forge, "REF 1 aaaa/4.1+0 <200>\n"
                         "REF 1 aaaa/8.1+0 <30>\n"
                         "REF 1 aaaa/0.1+0 <64>\n"
                         "REF 1 aaaa/9.1+0 <1024>\n"
                         "REF 1 aaaa/5.1+0 <1025>\n");
    forge_give(&forge, EPOCH, 4, 1);
    mux_channel_set_path(channel, MUX_PATH_SHARED, 50);
    write_some(&forge, channel, 60);
    mux_channel_set_path(channel, MUX_PATH_INLINE, 50);
    write_some(&forge, channel, 100);
    forge_expect(&forge, "REF 1 aaaa/1.1+0 <50>\nREF 1 aaaa/2.1+0 <10>\n"
                         "DATA 1 <50>\nDATA 1 <50>\n");
    forge_deinit(&forge);
}

// A turn that gives nothing costs no slot and no generation.
static void test_empty_turn(void)
{
    Forge forge;
    MuxTurn turn;
    begin(&forge, 64, 8);
    MuxChannel *channel = channel_of(&forge, 1000, MUX_PATH_SHARED);
    mux_channel_ready(channel);
    for (unsigned i = 0; i < 20; i++) {
        g_assert_true(mux_session_next_turn(forge.end.session, &turn));
        g_assert_true(turn.base == memory && turn.size == 64 && turn.slot == 0);
        g_assert_cmpuint(used(&forge), ==, 1);
        mux_session_turn_done(forge.end.session, &turn, 0, i < 19);
        g_assert_cmpuint(used(&forge), ==, 0);
    }
    g_assert_false(mux_session_next_turn(forge.end.session, &turn));
    forge_expect(&forge, "");
    write_some(&forge, channel, 5);
    forge_expect(&forge, "REF 1 aaaa/0.1+0 <5>\n");
    forge_deinit(&forge);
}

// --- when there is no slot

// The turn is the same channel's, over the port, at once; nothing overtakes.
static void test_fallback(void)
{
    Forge forge;
    begin(&forge, 64, 4);
    MuxChannel *channel = channel_of(&forge, 400, MUX_PATH_SHARED);
    write_some(&forge, channel, 200); // half of the region is for one
    forge_expect(&forge, "REF 1 aaaa/0.1+0 <64>\nREF 1 aaaa/1.1+0 <64>\nDATA 1 <72>\n");
    forge_give(&forge, EPOCH, 1, 1);
    write_some(&forge, channel, 100);
    forge_expect(&forge, "REF 1 aaaa/1.2+0 <64>\nDATA 1 <36>\n");
    forge_give(&forge, EPOCH, 0, 1);
    forge_give(&forge, EPOCH, 1, 2);
    g_assert_cmpuint(used(&forge), ==, 0);
    g_assert_cmpuint(end_write(&forge.end, channel, much, 1000), ==, 100);
    forge_expect(&forge, "REF 1 aaaa/1.3+0 <64>\nREF 1 aaaa/0.2+0 <36>\n");
    forge_deinit(&forge);
}

static unsigned count_words(const char *text, const char *word)
{
    unsigned n = 0;
    for (; (text = strstr(text, word)); text++)
        n++;
    return n;
}

// One whose reader gives nothing back leaves others their part.
static void test_fair(void)
{
    Forge forge;
    begin(&forge, 64, 32);
    MuxChannel *hog = channel_of(&forge, 100000, MUX_PATH_SHARED);
    MuxChannel *other = channel_of(&forge, 100000, MUX_PATH_SHARED);
    write_some(&forge, hog, 5000);
    forge_listen(&forge);
    g_assert_cmpuint(count_words(forge.said->str, "REF 1"), ==, 16);
    write_some(&forge, other, 5000);
    forge_listen(&forge);
    g_assert_cmpuint(count_words(forge.said->str, "REF 3"), ==, 8);
    g_string_truncate(forge.said, 0);
    write_some(&forge, hog, 5000);
    forge_listen(&forge);
    g_assert_cmpuint(count_words(forge.said->str, "REF"), ==, 0);
    g_string_truncate(forge.said, 0);
    // What comes back of the other's is not the hog's either.
    forge_give(&forge, EPOCH, 16, 1);
    write_some(&forge, hog, 64);
    write_some(&forge, other, 64);
    forge_expect(&forge, "DATA 1 <64>\nREF 3 aaaa/16.2+0 <64>\n");
    forge_deinit(&forge);
}

// --- credit, and what is in flight

static void test_credit(void)
{
    Forge forge;
    begin(&forge, 64, 8);
    MuxChannel *channel = channel_of(&forge, 70, MUX_PATH_SHARED);
    g_assert_cmpuint(end_write(&forge.end, channel, much, 200), ==, 70);
    forge_expect(&forge, "REF 1 aaaa/0.1+0 <64>\nREF 1 aaaa/1.1+0 <6>\n");
    forge_give(&forge, EPOCH, 0, 1); // gives no credit
    g_assert_cmpuint(end_write(&forge.end, channel, much, 200), ==, 0);
    forge_number(&forge, MUX_FRAME_CREDIT, 1, 80);
    forge_empty(&forge, MUX_FRAME_RECLAIM, 1);
    forge_expect(&forge, "RETURN 1 70\n");
    forge_deinit(&forge);
}

// Bytes in slots are lighter than those on the port, but not nothing.
static void test_flight(void)
{
    Forge forge;
    begin(&forge, 65536, 80);
    MuxChannel *channel = channel_of(&forge, MUX_CREDIT_MAX, MUX_PATH_SHARED);
    uint64_t before = end_info(&forge.end).sent;
    size_t n = end_write(&forge.end, channel, much, sizeof(much));
    g_assert_cmpuint(n, ==, 32 * 65536);
    g_assert_cmpuint(n, ==, MUX_FLIGHT_MAX * MUX_SLOT_LIGHTER);
    g_assert_cmpuint(end_info(&forge.end).sent, ==, before + 32 * 40);
    // That slots come back says nothing of what is in flight; nor does an ACK of frames before the
    // one that asked for it.
    for (uint32_t slot = 0; slot < 32; slot++)
        forge_give(&forge, EPOCH, slot, 1);
    forge_number(&forge, MUX_FRAME_ACK, 0, before);
    g_assert_cmpuint(end_write(&forge.end, channel, much, sizeof(much)), ==, 0);
    forge_number(&forge, MUX_FRAME_ACK, 0, before + 16 * 40);
    g_assert_cmpuint(end_write(&forge.end, channel, much, sizeof(much)), ==, 16 * 65536);
    forge_number(&forge, MUX_FRAME_ACK, 0, end_info(&forge.end).sent);
    g_assert_cmpuint(end_info(&forge.end).in_flight, ==, 0);
    forge_deinit(&forge);
}

// They weigh more while messages pass them.
static void test_flight_beside_messages(void)
{
    Forge forge;
    begin(&forge, 65536, 80);
    MuxChannel *quiet = end_open(&forge.end, "b");
    forge_listen(&forge);
    forge_accept(&forge, channel_id(quiet), MUX_CREDIT_MAX);
    MuxChannel *bulk = channel_of(&forge, MUX_CREDIT_MAX, MUX_PATH_SHARED);
    g_assert_cmpuint(end_write(&forge.end, bulk, much, 65536), ==, 65536);
    g_assert_cmpuint(end_write(&forge.end, quiet, "x", 1), ==, 1);
    forge_number(&forge, MUX_FRAME_ACK, 0, end_info(&forge.end).sent);
    g_assert_cmpuint(end_write(&forge.end, bulk, much, sizeof(much)), ==, 65536);
    g_assert_cmpuint(MUX_FLIGHT_BESIDE * MUX_SLOT_LIGHTER_BESIDE, ==, 65536);
    forge.end.now_us += MUX_BESIDE_US;
    mux_session_tick(forge.end.session, forge.end.now_us);
    forge_number(&forge, MUX_FRAME_ACK, 0, end_info(&forge.end).sent);
    g_assert_cmpuint(end_write(&forge.end, bulk, much, sizeof(much)), ==, 32 * 65536);
    forge_deinit(&forge);
}

// Nothing gets stuck, whatever the mixture.
static void test_stream(void)
{
    static const uint32_t sizes[] = {1, 100, 4096, 65536};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Pair pair;
        pair_init(&pair, NULL, NULL);
        pair.host.accepts = pair.host.consumes = true;
        pair_up(&pair);
        pair_share(&pair.guest, &pair.host, EPOCH, memory, sizes[i], 8);
        MuxChannel *channel = end_open(&pair.guest, "a");
        pair_settle(&pair);
        uint64_t sent = 0;
        for (unsigned round = 0; sent < 3u << 20; round++) {
            pair.host.holds = round % 5 > 2;
            mux_channel_set_path(channel, round % 7 ? MUX_PATH_SHARED : MUX_PATH_INLINE, 0);
            size_t n = end_write(&pair.guest, channel, much, 100000);
            sent += n;
            n += pair_carry(&pair.guest, &pair.host) + pair_carry(&pair.host, &pair.guest);
            g_assert_cmpuint(n, >, 0);
            end_give(&pair.host, round % 3);
            end_forget(&pair.host);
        }
        end_give(&pair.host, UINT_MAX);
        pair_settle(&pair);
        g_assert_cmpuint(pair.host.taken, ==, sent);
        g_assert_cmpuint(pair.host.shared, >, 0);
        g_assert_cmpuint(pair.host.shared, <, sent);
        g_assert_cmpuint(end_region(&pair.host, false).shared, ==, pair.host.shared);
        g_assert_cmpuint(end_region(&pair.guest, true).shared, ==, pair.host.shared);
        g_assert_cmpuint(end_region(&pair.host, false).port, ==, sent - pair.host.shared);
        g_assert_cmpuint(end_region(&pair.guest, true).used, ==, 0);
        g_assert_cmpuint(end_region(&pair.host, false).used, ==, 0);
        g_assert_cmpuint(end_info(&pair.guest).in_flight, <, MUX_FLIGHT_MAX / 2);
        pair_deinit(&pair);
    }
}

// --- what the peer gives back

#define NOT_LENT "GIVE of a slot that was not lent"

typedef struct Given {
    uint32_t epoch;
    uint32_t n; // numbers that follow
    uint32_t numbers[8];
    const char *detail; // NULL: it is good
} Given;

// Slots 0 and 1 are lent, of generation 1.
static const Given givens[] = {
    {EPOCH, 2, {0, 1}, NULL},
    {EPOCH, 4, {1, 1, 0, 1}, NULL},
    {EPOCH, 4, {0, 1, 0, 1}, NOT_LENT}, // twice
    {EPOCH, 2, {0, 2}, NOT_LENT},
    {EPOCH, 2, {0, 0}, NOT_LENT},
    {EPOCH, 2, {0, UINT32_MAX}, NOT_LENT},
    {EPOCH, 2, {2, 0}, NOT_LENT}, // was never lent
    {EPOCH, 2, {2, 1}, NOT_LENT},
    {EPOCH, 2, {8, 1}, NOT_LENT}, // there is none
    {EPOCH, 2, {UINT32_MAX, 1}, NOT_LENT},
    {EPOCH, 6, {0, 1, 1, 1, 2, 1}, NOT_LENT}, // beside good ones
    {EPOCH, 6, {2, 1, 0, 1, 1, 1}, NOT_LENT},
    {EPOCH, 3, {0, 1, 1}, "GIVE of half a slot"},
    {EPOCH + 1, 3, {0, 1, 1}, "GIVE of half a slot"},
    {EPOCH + 1, 4, {0, 2, 99, 1}, NULL}, // of a region that is no more
};

static void test_given(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(givens); i++) {
        const Given *given = &givens[i];
        uint8_t payload[MUX_GIVE_AT + 4 * 8];
        Forge forge;
        begin(&forge, 64, 8);
        MuxChannel *channel = channel_of(&forge, 1000, MUX_PATH_SHARED);
        write_some(&forge, channel, 100);
        mux_put32(payload, given->epoch);
        for (uint32_t k = 0; k < given->n; k++)
            mux_put32(payload + 4 + 4u * k, given->numbers[k]);
        forge_put(&forge, MUX_FRAME_GIVE, 0, payload, (uint16_t)(4 + 4 * given->n));
        g_autofree char *down =
            given->detail ? g_strdup_printf("RESET 1 link-down\nDOWN protocol: %s\n", given->detail)
                          : NULL;
        if (!down)
            g_assert_cmpuint(used(&forge), ==, given->epoch == EPOCH ? 2 - given->n / 2 : 2);
        end_expect(&forge.end, down ? down : "");
        forge_deinit(&forge);
    }
}

// A batch's half, which no frame has: 512 slots and a half.
static void test_given_most(void)
{
    static uint8_t payload[MUX_GIVE_AT + MUX_GIVE_MAX * MUX_GIVEN_SIZE];
    const MuxRegion region = {memory, EPOCH, 1, {{1, 2 * MUX_GIVE_MAX}}};
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &region), ==, 0);
    MuxChannel *channel = channel_of(&forge, MUX_GIVE_MAX, MUX_PATH_SHARED);
    write_some(&forge, channel, MUX_GIVE_MAX);
    g_assert_cmpuint(used(&forge), ==, MUX_GIVE_MAX);
    mux_put32(payload, EPOCH);
    for (uint32_t slot = 0; slot < MUX_GIVE_MAX; slot++) {
        mux_put32(payload + 4 + 8 * slot, slot);
        mux_put32(payload + 8 + 8 * slot, 1);
    }
    forge_put(&forge, MUX_FRAME_GIVE, 0, payload, sizeof(payload));
    g_assert_cmpuint(used(&forge), ==, 0);
    forge_deinit(&forge);
}

// The channel may be gone meanwhile.
static void test_given_late(void)
{
    Forge forge;
    begin(&forge, 64, 8);
    MuxChannel *channel = channel_of(&forge, 1000, MUX_PATH_SHARED);
    write_some(&forge, channel, 100);
    end_close(&forge.end, channel, MUX_CODE_CLOSED);
    forge_listen(&forge);
    g_assert_cmpuint(used(&forge), ==, 2);
    forge_give(&forge, EPOCH, 0, 1);
    forge_give(&forge, EPOCH, 1, 1);
    g_assert_cmpuint(used(&forge), ==, 0);
    end_expect(&forge.end, "");
    forge_deinit(&forge);
}

// --- the region

// With another region a channel begins anew: what it held of the old one does not count.
static void test_replaced(void)
{
    Forge forge;
    begin(&forge, 64, 4);
    MuxChannel *channel = channel_of(&forge, 10000, MUX_PATH_SHARED);
    write_some(&forge, channel, 200);
    forge_listen(&forge);
    g_string_truncate(forge.said, 0);
    for (uint32_t epoch = 1; epoch < 20; epoch++) {
        set_region(&forge, epoch, 64, 4);
        write_some(&forge, channel, 129);
        forge_listen(&forge);
        g_assert_cmpuint(count_words(forge.said->str, "REF"), ==, 2);
        forge_give(&forge, epoch - 1 ? epoch - 1 : EPOCH, 0, 1);
        g_assert_cmpuint(used(&forge), ==, 2);
        forge_give(&forge, epoch, 0, 1);
        g_assert_cmpuint(used(&forge), ==, 1);
        g_string_truncate(forge.said, 0);
    }
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, NULL), ==, 0);
    write_some(&forge, channel, 100);
    forge_give(&forge, 19, 1, 1);
    forge_expect(&forge, "DATA 1 <100>\n");
    g_assert_false(end_region(&forge.end, true).there);
    end_expect(&forge.end, "");
    forge_deinit(&forge);
}

// One that makes no sense changes nothing.
static void test_refused(void)
{
    const MuxRegion good = {memory, 1, 1, {{64, 4}}}, bad = {memory, 2, 1, {{0, 4}}};
    MuxSession *session;
    Forge forge;
    begin(&forge, 64, 4);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &bad), ==, -EINVAL);
    g_assert_cmphex(end_region(&forge.end, true).epoch, ==, EPOCH);
    g_assert_cmpint(mux_session_set_region(forge.end.session, false, &bad), ==, -EINVAL);
    g_assert_false(end_region(&forge.end, false).there);
    mux_session_stop(forge.end.session);
    end_drain(&forge.end);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, &good), ==, -EINVAL);
    g_assert_cmpint(mux_session_set_region(forge.end.session, true, NULL), ==, 0);
    forge_deinit(&forge);
    g_assert_cmpint(mux_session_new(MUX_HOST, NULL, &session), ==, 0);
    g_assert_cmpint(mux_session_set_region(session, true, &good), ==, -EINVAL);
    mux_session_start(session, 1, 0);
    g_assert_cmpint(mux_session_set_region(session, true, &good), ==, -EINVAL);
    mux_session_free(session);
}

int main(int argc, char **argv)
{
    memset(much, 'm', sizeof(much));
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/offload/path", test_path);
    g_test_add_func("/offload/threshold", test_threshold);
    g_test_add_func("/offload/pause", test_pause);
    g_test_add_func("/offload/grows-again", test_grows_again);
    g_test_add_func("/offload/small-slots", test_small_slots);
    g_test_add_func("/offload/run", test_run);
    g_test_add_func("/offload/little-credit", test_little_credit);
    g_test_add_func("/offload/sizes", test_sizes);
    g_test_add_func("/offload/empty-turn", test_empty_turn);
    g_test_add_func("/offload/fallback", test_fallback);
    g_test_add_func("/offload/fair", test_fair);
    g_test_add_func("/offload/credit", test_credit);
    g_test_add_func("/offload/flight", test_flight);
    g_test_add_func("/offload/flight-beside-messages", test_flight_beside_messages);
    g_test_add_func("/offload/stream", test_stream);
    g_test_add_func("/offload/given", test_given);
    g_test_add_func("/offload/given-most", test_given_most);
    g_test_add_func("/offload/given-late", test_given_late);
    g_test_add_func("/offload/replaced", test_replaced);
    g_test_add_func("/offload/refused", test_refused);
    return g_test_run();
}
