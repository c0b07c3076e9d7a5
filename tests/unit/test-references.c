// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// references.c, the receiving end: what a REF may say, who gets the bytes, and that each slot is
// given back exactly once, whatever became of its channel. The region's memory cannot be touched
// here, so that a session that looks into it dies.

#include <string.h>
#include <sys/mman.h>

#include "forge.h"
#include "proto/bytes.h"
#include "proto/limits.h"

#define EPOCH 0xeeeeu
#define SIZE  64u
#define COUNT 16u

static uint8_t *nowhere;

static void give_region(Forge *forge, uint32_t epoch)
{
    const MuxRegion region = {nowhere, epoch, 1, {{SIZE, COUNT}}};
    g_assert_cmpint(mux_session_set_region(forge->end.session, false, &region), ==, 0);
}

// A host whose guest may send references. Its channels 1 and 3 are open, and take 16384 bytes.
static void begin(Forge *forge)
{
    forge_up(forge, MUX_HOST, NULL, NULL);
    give_region(forge, EPOCH);
    for (uint32_t id = 1; id <= 3; id += 2) {
        forge_open(forge, id, 1000, "a");
        mux_channel_accept(end_channel(&forge->end, id), NULL);
    }
    forge_listen(forge);
    g_string_truncate(forge->said, 0);
    end_forget(&forge->end);
}

static unsigned held(const Forge *forge)
{
    return end_region(&forge->end, false).used;
}

// So long that what is given back goes by itself.
static void let_time_pass(Forge *forge)
{
    forge->end.now_us += MUX_GIVE_US;
    mux_session_tick(forge->end.session, forge->end.now_us);
}

// Feeds a reference, and takes the one event that it makes.
static MuxEvent refer(Forge *forge, uint32_t channel, uint32_t slot, uint32_t generation,
                      uint32_t offset, uint32_t length)
{
    MuxEvent event, none;
    uint8_t *base;

    forge->held = true;
    forge_reference(forge, channel, &(MuxReference){EPOCH, slot, generation, offset, length});
    g_assert_cmpuint(mux_session_input(forge->end.session, &base), >=, forge->bytes->len);
    memcpy(base, forge->bytes->data, forge->bytes->len);
    mux_session_input_done(forge->end.session, forge->bytes->len, forge->end.now_us);
    g_byte_array_set_size(forge->bytes, 0);
    forge->held = false;
    (void)mux_session_next_event(forge->end.session, &event);
    if (event.type != MUX_EVENT_NONE)
        g_assert_false(mux_session_next_event(forge->end.session, &none));
    return event;
}

// --- good ones

static void test_event(void)
{
    Forge forge;
    begin(&forge);
    MuxChannel *channel = end_channel(&forge.end, 3);
    MuxEvent event = refer(&forge, 3, 5, 1, 10, 54);
    g_assert_cmpint(event.type, ==, MUX_EVENT_DATA);
    g_assert_true(event.channel == channel);
    g_assert_true(event.data == nowhere + 5 * SIZE + 10);
    g_assert_cmpuint(event.size, ==, 54);
    g_assert_cmpuint(event.slot, !=, 0);
    g_assert_cmpuint(held(&forge), ==, 1);
    forge_expect(&forge, "");
    // Giving the slot back and taking the bytes are two things.
    mux_channel_consumed(channel, 54);
    forge_expect(&forge, "");
    mux_session_give(forge.end.session, event.slot);
    g_assert_cmpuint(mux_session_deadline(forge.end.session), ==, forge.end.now_us + MUX_GIVE_US);
    let_time_pass(&forge);
    forge_expect(&forge, "GIVE eeee 5.1\n");
    g_assert_cmpuint(held(&forge), ==, 0);
    forge_deinit(&forge);
}

// Slot 0 of epoch 0 is a slot too.
static void test_zero(void)
{
    Forge forge;
    begin(&forge);
    give_region(&forge, 0);
    mux_channel_stop(end_channel(&forge.end, 1)); // so that nobody reads what cannot be read
    forge_expect(&forge, "STOP 1\n");
    forge_reference(&forge, 1, &(MuxReference){0, 0, 1, 0, 1});
    let_time_pass(&forge);
    forge_expect(&forge, "GIVE 0 0.1\n");
    forge_deinit(&forge);
}

// A slot that is given back waits for something else to be said, for others, or for its time.
static void test_give_with_others(void)
{
    Forge forge;
    begin(&forge);
    mux_channel_stop(end_channel(&forge.end, 1));
    forge_expect(&forge, "STOP 1\n");
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 0, 1, 0, 1});
    forge_expect(&forge, "");
    forge_number(&forge, MUX_FRAME_PING, 0, 7);
    forge_expect(&forge, "PONG 7\nGIVE eeee 0.1\n");
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 1, 1, 0, 1});
    forge_expect(&forge, "");
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 2, 1, 0, 1}); // an eighth of the region
    forge_expect(&forge, "GIVE eeee 1.1 2.1\n");
    g_assert_cmpuint(mux_session_deadline(forge.end.session), >, forge.end.now_us + MUX_GIVE_US);
    forge_deinit(&forge);
}

// So many slots are given back by these frames, from 0 on, one after the other.
static unsigned count_given(const char *said)
{
    g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
    unsigned n = 0;
    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", -1);
        if (g_strcmp0(words[0], "GIVE") != 0)
            continue;
        g_assert_cmpuint(g_strv_length(words), <=, 2 + MUX_GIVE_MAX);
        for (unsigned k = 2; words[k]; k++, n++) {
            g_autofree char *slot = g_strdup_printf("%u.1", n);
            g_assert_cmpstr(words[k], ==, slot);
        }
    }
    return n;
}

#define MANY 5000u // more than a batch holds

// They are given back in few frames, each once, in the order in which they were given.
static void test_give_many(void)
{
    static const MuxRegion large = {NULL, 9, 2, {{1, 3000}, {2, 2000}}};
    Forge forge;
    begin(&forge);
    g_assert_cmpint(mux_session_set_region(forge.end.session, false, &large), ==, 0);
    mux_channel_stop(end_channel(&forge.end, 1));
    for (uint32_t slot = 0; slot < MANY; slot++)
        forge_reference(&forge, 1, &(MuxReference){9, slot, 1, 0, 1});
    g_assert_cmpuint(held(&forge), ==, MANY);
    forge_listen(&forge);
    g_assert_cmpuint(count_given(forge.said->str), ==, MANY);
    g_assert_cmpuint(held(&forge), ==, 0);
    forge_deinit(&forge);
}

// --- bad ones: the session ends, and nobody gets anything

#define REGION     "a reference into a region that there is not"
#define SLOT       "a reference to a slot that there is not"
#define GENERATION "a reference to a slot that was not given back, or of another generation"
#define BEYOND     "a reference that goes beyond its slot"
#define STATE      "a frame that the channel's state does not allow"
#define NEVER      "a frame of a channel that was never opened"

typedef struct Case {
    uint32_t channel;
    MuxReference reference;
    const char *detail;
} Case;

static const Case cases[] = {
    {1, {EPOCH + 1, 0, 1, 0, 1}, REGION},
    {1, {EPOCH, COUNT, 1, 0, 1}, SLOT},
    {1, {EPOCH, UINT32_MAX, 1, 0, 1}, SLOT},
    {1, {EPOCH, 0, 0, 0, 1}, GENERATION},
    {1, {EPOCH, 0, 2, 0, 1}, GENERATION},
    {1, {EPOCH, 3, 1, 0, 1}, GENERATION}, // held
    {1, {EPOCH, 3, 2, 0, 1}, GENERATION},
    {1, {EPOCH, 4, 2, 0, 1}, GENERATION}, // given back, and the peer does not know it yet
    {1, {EPOCH, 0, 1, 0, 0}, BEYOND},
    {1, {EPOCH, 0, 1, 0, SIZE + 1}, BEYOND},
    {1, {EPOCH, 0, 1, 1, SIZE}, BEYOND},
    {1, {EPOCH, 0, 1, SIZE, 1}, BEYOND},
    {1, {EPOCH, 0, 1, UINT32_MAX, 2}, BEYOND},
    {1, {EPOCH, 0, 1, 2, UINT32_MAX}, BEYOND},
    {1, {EPOCH, COUNT - 1, 1, 1, SIZE}, BEYOND},
    {5, {EPOCH, 0, 1, 0, 1}, NEVER},
    {6, {EPOCH, 0, 1, 0, 1}, NEVER},
    {7, {EPOCH, 0, 1, 0, 0}, BEYOND}, // wrong in two ways
};

// A good one on each side of the bad one: the first is told, the second is not.
static void check_case(const Case *c, bool region)
{
    Forge forge;
    begin(&forge);
    MuxEvent event = refer(&forge, 1, 3, 1, 0, SIZE);
    g_assert_cmpint(event.type, ==, MUX_EVENT_DATA);
    MuxEvent other = refer(&forge, 3, 4, 1, 0, SIZE);
    mux_session_give(forge.end.session, other.slot);
    if (!region)
        g_assert_cmpint(mux_session_set_region(forge.end.session, false, NULL), ==, 0);

    forge.held = true;
    forge_reference(&forge, c->channel, &c->reference);
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 9, 1, 0, SIZE});
    forge_release(&forge);
    g_autofree char *down = g_strdup_printf("DOWN protocol: %s\n", region ? c->detail : REGION);
    g_assert_true(g_str_has_suffix(forge.end.log->str, down));
    g_assert_null(strstr(forge.end.log->str, "SHARED"));
    // What is held when the session ends is of no session any more.
    mux_session_give(forge.end.session, event.slot);
    g_assert_false(end_region(&forge.end, false).there);
    forge_deinit(&forge);
}

static void test_bad(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_case(&cases[i], true);
        check_case(&cases[i], false);
    }
}

static void expect_down(Forge *forge, const char *detail)
{
    g_autofree char *down = g_strdup_printf("DOWN protocol: %s\n", detail);
    g_assert_true(g_str_has_suffix(forge->end.log->str, down));
    g_assert_null(strstr(forge->end.log->str, "SHARED"));
    forge_deinit(forge);
}

// As with DATA: not before the channel is open, nor behind FIN, nor beyond the credit.
static void test_state(void)
{
    Forge forge;
    begin(&forge);
    forge_open(&forge, 5, 1000, "a");
    forge_reference(&forge, 5, &(MuxReference){EPOCH, 0, 1, 0, 1});
    expect_down(&forge, STATE);
    begin(&forge);
    forge_empty(&forge, MUX_FRAME_FIN, 1);
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 0, 1, 0, 1});
    expect_down(&forge, STATE);
}

static void test_credit(void)
{
    Forge forge;
    begin(&forge);
    forge_data(&forge, 1, 16384 - SIZE);
    g_assert_cmpint(refer(&forge, 1, 0, 1, 0, SIZE).type, ==, MUX_EVENT_DATA);
    forge_deinit(&forge);
    begin(&forge);
    forge_data(&forge, 1, 16384 - SIZE + 1);
    forge_reference(&forge, 1, &(MuxReference){EPOCH, 0, 1, 0, SIZE});
    expect_down(&forge, "data beyond the credit");
}

#define NOT_AGREED "a frame of a feature that was not agreed on"

static void put_any(Forge *forge, MuxFrameType type)
{
    static const uint8_t zeros[MUX_NOTICE_SIZE];
    const MuxFrameKind *kind = mux_frame_kind(type);
    forge_put(forge, type, kind->of_channel ? 1 : 0, zeros, kind->min);
}

// The peer did not offer the feature; or we did not.
static void test_not_agreed(void)
{
    static const MuxHello plain = {
        .version_min = 1, .version_max = 1, .features = ~MUX_FEATURE_MEMORY, .channels = 9};
    static const MuxLimits without = {.without = MUX_FEATURE_MEMORY};
    static const MuxFrameType types[] = {MUX_FRAME_REF, MUX_FRAME_GIVE, MUX_FRAME_NOTICE};
    const MuxRegion region = {nowhere, EPOCH, 1, {{SIZE, COUNT}}};

    for (unsigned i = 0; i < 6; i++) {
        Forge forge;
        forge_up(&forge, MUX_HOST, i % 2 ? &without : NULL, i % 2 ? NULL : &plain);
        for (unsigned ours = 0; ours < 2; ours++)
            g_assert_cmpint(mux_session_set_region(forge.end.session, ours, &region), <, 0);
        forge_open(&forge, 1, 1000, "a");
        put_any(&forge, types[i / 2]);
        expect_down(&forge, NOT_AGREED);
    }
}

// --- late ones: nobody gets them, and their slots go back

// Brings channel 1 to where nobody wants its data any more.
static void end_it(Forge *forge, unsigned how)
{
    MuxChannel *channel = end_channel(&forge->end, 1);

    if (how == 0) // stopped
        mux_channel_stop(channel);
    else if (how == 1) // closed, and the RESET is not out
        end_close(&forge->end, channel, MUX_CODE_CLOSED);
    else if (how == 2 || how == 3) // dead by a RESET, its owner has it still; or not
        forge_reset(forge, 1, MUX_CODE_CLOSED);
    if (how == 3)
        end_close(&forge->end, channel, MUX_CODE_CLOSED);
    if (how == 4) { // closed, and forgotten
        end_close(&forge->end, channel, MUX_CODE_CLOSED);
        forge_listen(forge);
    }
    if (how == 5) { // stopped, and our direction is closed
        mux_channel_stop(channel);
        mux_channel_fin(channel);
    }
}

static void test_late(void)
{
    for (unsigned how = 0; how <= 5; how++) {
        Forge forge;
        begin(&forge);
        end_it(&forge, how);
        forge_listen(&forge);
        g_string_truncate(forge.said, 0);
        for (unsigned round = 1; round <= 3; round++) {
            for (uint32_t slot = 0; slot < COUNT; slot++) {
                MuxEvent event = refer(&forge, 1, slot, round, 1, 2);
                g_assert_cmpint(event.type, ==, MUX_EVENT_NONE);
            }
            g_assert_cmpuint(held(&forge), ==, COUNT);
            forge_listen(&forge);
            g_assert_true(g_str_has_prefix(forge.said->str, "GIVE eeee 0."));
            g_string_truncate(forge.said, 0);
            g_assert_cmpuint(held(&forge), ==, 0);
        }
        g_assert_true(mux_session_is_up(forge.end.session));
        forge_deinit(&forge);
    }
}

// It was told before the channel ended: its owner gives it back, also when he has closed it.
static void test_give_late(void)
{
    for (unsigned how = 0; how <= 5; how++) {
        Forge forge;
        begin(&forge);
        MuxEvent event = refer(&forge, 1, 2, 1, 0, SIZE);
        g_assert_cmpint(event.type, ==, MUX_EVENT_DATA);
        end_it(&forge, how);
        forge_listen(&forge);
        g_string_truncate(forge.said, 0);
        g_assert_cmpuint(held(&forge), ==, 1);
        mux_session_give(forge.end.session, event.slot);
        let_time_pass(&forge);
        forge_expect(&forge, "GIVE eeee 2.1\n");
        g_assert_cmpuint(held(&forge), ==, 0);
        forge_deinit(&forge);
    }
}

// --- the region's end

// What is held of a region that is no more is not given back, not even of one in its place.
static void test_replaced(void)
{
    Forge forge;
    begin(&forge);
    MuxEvent event = refer(&forge, 1, 2, 1, 0, SIZE);
    give_region(&forge, EPOCH + 1);
    mux_session_give(forge.end.session, event.slot);
    forge_expect(&forge, "");
    g_assert_cmpuint(held(&forge), ==, 0);
    g_assert_cmpint(mux_session_set_region(forge.end.session, false, NULL), ==, 0);
    mux_session_give(forge.end.session, event.slot);
    forge_expect(&forge, "");
    mux_session_give(forge.end.session, event.slot);
    forge_deinit(&forge);
}

static void test_anew(void)
{
    static uint8_t memory[4 * SIZE];
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair.host.accepts = pair.host.holds = true;
    for (unsigned round = 0; round < 3; round++) {
        pair_up(&pair);
        g_assert_false(end_region(&pair.guest, true).there);
        g_assert_cmpuint(end_region(&pair.guest, true).threshold, ==, MUX_NEVER);
        g_assert_cmpuint(end_region(&pair.guest, true).shared, ==, 0);
        pair_share(&pair.guest, &pair.host, 1 + round, memory, SIZE, 4);
        mux_session_set_threshold(pair.guest.session, 100);
        MuxChannel *channel = end_open(&pair.guest, "a");
        pair_settle(&pair);
        mux_channel_set_path(channel, MUX_PATH_SHARED, 0);
        g_assert_cmpuint(end_write(&pair.guest, channel, "once", 4), ==, 4);
        pair_settle(&pair);
        g_assert_cmpuint(end_region(&pair.host, false).used, ==, 1);
        g_assert_cmpuint(end_region(&pair.guest, true).used, ==, 1);
        g_assert_cmpuint(end_region(&pair.guest, true).shared, ==, 4);
        mux_session_stop(pair.guest.session);
        mux_session_stop(pair.host.session);
        end_drain(&pair.guest);
        end_drain(&pair.host);
        end_give(&pair.host, 1); // of a session that is no more
        end_close(&pair.guest, channel, MUX_CODE_CLOSED);
        end_close(&pair.host, end_channel(&pair.host, 1), MUX_CODE_CLOSED);
        end_forget(&pair.guest);
        end_forget(&pair.host);
    }
    pair_deinit(&pair);
}

// --- acknowledging: bytes in slots do not count

static void test_acks(void)
{
    Forge forge;
    begin(&forge);
    MuxChannel *channel = end_channel(&forge.end, 3);
    uint64_t all = end_info(&forge.end).received;
    mux_channel_stop(end_channel(&forge.end, 1));
    for (uint32_t n = 1; n < 200; n++) {
        g_assert_null(strstr(forge.said->str, "ACK"));
        forge.asks = n == 199;
        MuxEvent event = refer(&forge, n > 100 ? 3 : 1, 0, n, 0, SIZE); // nobody gets the first
        all += 40;
        g_assert_cmpuint(end_info(&forge.end).received, ==, all);
        if (event.type == MUX_EVENT_DATA) {
            mux_channel_consumed(channel, SIZE);
            mux_session_give(forge.end.session, event.slot);
        }
        let_time_pass(&forge);
        forge_listen(&forge);
    }
    g_autofree char *ack = g_strdup_printf("ACK %" G_GUINT64_FORMAT "\n", all);
    g_assert_nonnull(strstr(forge.said->str, ack));
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    nowhere = mmap(NULL, SIZE * COUNT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(nowhere != MAP_FAILED);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/references/event", test_event);
    g_test_add_func("/references/zero", test_zero);
    g_test_add_func("/references/give-with-others", test_give_with_others);
    g_test_add_func("/references/give-many", test_give_many);
    g_test_add_func("/references/bad", test_bad);
    g_test_add_func("/references/state", test_state);
    g_test_add_func("/references/credit", test_credit);
    g_test_add_func("/references/not-agreed", test_not_agreed);
    g_test_add_func("/references/late", test_late);
    g_test_add_func("/references/give-late", test_give_late);
    g_test_add_func("/references/replaced", test_replaced);
    g_test_add_func("/references/anew", test_anew);
    g_test_add_func("/references/acks", test_acks);
    return g_test_run();
}
