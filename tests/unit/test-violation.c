// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// receive.c: what a peer may not do, frame by frame, and what it may although it looks odd. Every
// breach ends the session with a reason and its detail; whoever had a channel is told once; nothing
// is left.

#include <string.h>

#include "forge.h"
#include "proto/bytes.h"
#include "proto/limits.h"

// The session under test is a host. The guest's channel 1 is open, with a credit of 1000 for us and
// 16384 for the guest; the host's channel 2 is open too, 3 waits for our answer, and 4 for the
// peer's.
static void begin(Forge *forge)
{
    forge_up(forge, MUX_HOST, NULL, NULL);
    forge_open(forge, 1, 1000, "one");
    mux_channel_accept(end_channel(&forge->end, 1), NULL);
    end_open(&forge->end, "two");
    forge_listen(forge);
    forge_accept(forge, 2, 1000);
    end_open(&forge->end, "four");
    forge_open(forge, 3, 1000, "three");
    forge_listen(forge);
    end_forget(&forge->end);
}

static bool told_once(const char *log, unsigned id)
{
    g_autofree char *line = g_strdup_printf("RESET %u link-down\n", id);
    const char *first = strstr(log, line);
    return first && !strstr(first + 1, line);
}

// The session went down for this reason, and all four channels with it.
static void end_badly(Forge *forge, const char *detail)
{
    const char *log = forge->end.log->str;
    g_autofree char *down = g_strdup_printf("DOWN protocol: %s\n", detail);
    g_assert_cmpstr(strstr(log, "DOWN"), ==, down);
    size_t length = strlen(down);
    for (unsigned id = 1; id <= 4; id++) {
        g_assert_true(told_once(log, id));
        length += strlen("RESET 1 link-down\n");
    }
    g_assert_cmpuint(strlen(log), ==, length); // and nothing else was told
    g_assert_cmpuint(end_info(&forge->end).channels, ==, 0);
    g_assert_false(mux_session_is_started(forge->end.session));
    forge_deinit(forge);
}

typedef struct Case {
    const char *name;
    MuxFrameType type;
    uint32_t channel;
    uint64_t number; // or how many bytes of data
    const char *detail;
} Case;

#define STATE   "a frame that the channel's state does not allow"
#define NEVER   "a frame of a channel that was never opened"
#define CREDIT  "credit that goes down or is beyond reason"
#define ACK     "ACK that goes back, or of bytes that were not sent"
#define RETURNS "RETURN of credit that was not reclaimed, or not there"

static const Case cases[] = {
    {"credit-down", MUX_FRAME_CREDIT, 1, 999, CREDIT},
    {"credit-zero", MUX_FRAME_CREDIT, 1, 0, CREDIT},
    {"credit-huge", MUX_FRAME_CREDIT, 1, (uint64_t)MUX_CREDIT_MAX + 1, CREDIT},
    {"credit-32-bits", MUX_FRAME_CREDIT, 1, UINT32_MAX, CREDIT},
    {"credit-overflow", MUX_FRAME_CREDIT, 1, UINT64_MAX, CREDIT},
    {"credit-overflow-sign", MUX_FRAME_CREDIT, 1, 1ull << 63, CREDIT},
    {"accept-huge", MUX_FRAME_ACCEPT, 4, UINT64_MAX, CREDIT},
    {"credit-unaccepted", MUX_FRAME_CREDIT, 4, 100, STATE},
    {"credit-unanswered", MUX_FRAME_CREDIT, 3, 2000, STATE},
    {"credit-never-opened", MUX_FRAME_CREDIT, 5, 100, NEVER},
    {"data-beyond-credit", MUX_FRAME_DATA, 1, 16385, "data beyond the credit"},
    {"data-before-our-accept", MUX_FRAME_DATA, 3, 1, STATE},
    {"data-before-its-accept", MUX_FRAME_DATA, 4, 1, STATE},
    {"data-never-opened-guest", MUX_FRAME_DATA, 5, 1, NEVER},
    {"data-never-opened-host", MUX_FRAME_DATA, 6, 1, NEVER},
    {"data-never-opened-last", MUX_FRAME_DATA, UINT32_MAX, 1, NEVER},
    {"accept-own", MUX_FRAME_ACCEPT, 1, 100, STATE},
    {"accept-own-unanswered", MUX_FRAME_ACCEPT, 3, 100, STATE},
    {"accept-twice", MUX_FRAME_ACCEPT, 2, 2000, STATE},
    {"accept-never-opened", MUX_FRAME_ACCEPT, 6, 100, NEVER},
    {"fin-never-opened", MUX_FRAME_FIN, 7, 0, NEVER},
    {"stop-never-opened", MUX_FRAME_STOP, 7, 0, NEVER},
    {"reset-never-opened", MUX_FRAME_RESET, 7, 0, NEVER},
    {"reclaim-never-opened", MUX_FRAME_RECLAIM, 7, 0, NEVER},
    {"return-never-opened", MUX_FRAME_RETURN, 7, 0, NEVER},
    {"return-not-asked", MUX_FRAME_RETURN, 1, 0, RETURNS},
    {"ack-of-nothing", MUX_FRAME_ACK, 0, 1u << 20, ACK},
    {"ack-overflow", MUX_FRAME_ACK, 0, UINT64_MAX, ACK},
};

static void send_case(Forge *forge, const Case *c)
{
    if (c->type == MUX_FRAME_DATA)
        forge_data(forge, c->channel, c->number);
    else if (c->type == MUX_FRAME_RESET)
        forge_reset(forge, c->channel, 0);
    else if (mux_frame_kind(c->type)->max == 0)
        forge_empty(forge, c->type, c->channel);
    else if (c->type == MUX_FRAME_ACCEPT)
        forge_accept(forge, c->channel, c->number);
    else
        forge_number(forge, c->type, c->channel, c->number);
}

static void test_case(gconstpointer data)
{
    Forge forge;
    begin(&forge);
    send_case(&forge, data);
    end_badly(&forge, ((const Case *)data)->detail);
}

// --- nonces

// An answer to an OPEN with another nonce, though it be one bit: nothing is told of it, not even
// that the channel is open; nor of the data behind it.
static void test_accept_other(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        Forge forge;
        uint8_t payload[12];
        begin(&forge);
        mux_put64(payload, 1000);
        mux_put32(payload + 8, nonce_of(4) ^ 1u << bit);
        forge.held = true;
        forge_put(&forge, MUX_FRAME_ACCEPT, 4, payload, sizeof(payload));
        forge_data(&forge, 4, 100);
        forge_release(&forge);
        end_badly(&forge, "ACCEPT of another OPEN");
    }
}

// Of a channel that was given up, the answer is late, whoever it was for.
static void test_accept_other_late(void)
{
    Forge forge;
    const uint8_t payload[12] = {0};
    begin(&forge);
    end_close(&forge.end, end_channel(&forge.end, 4), MUX_CODE_TIMEOUT);
    forge_put(&forge, MUX_FRAME_ACCEPT, 4, payload, sizeof(payload));
    forge_listen(&forge);
    forge_put(&forge, MUX_FRAME_ACCEPT, 4, payload, sizeof(payload));
    end_expect(&forge.end, "");
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_deinit(&forge);
}

// All nonces are good, and come back as they were.
static void test_nonces(void)
{
    static const uint32_t nonces[] = {0, 1, UINT32_MAX, 1u << 31};
    for (size_t i = 0; i < G_N_ELEMENTS(nonces); i++) {
        Pair pair;
        MuxChannel *channel;
        pair_init(&pair, NULL, NULL);
        pair_up(&pair);
        pair.host.accepts = true;
        int r = mux_session_open(
            pair.guest.session,
            &(MuxOpening){.name = "a", .length = 1, .nonce = nonces[i], .user = &pair.guest},
            &channel);
        g_assert_cmpint(r, ==, 0);
        pair_settle(&pair);
        end_expect(&pair.guest, "ACCEPT 1\n");
        mux_channel_close(channel, MUX_CODE_CLOSED);
        pair_deinit(&pair);
    }
}

// --- opens

#define NOT_YOURS "OPEN of an id that is not the peer's to open, or was used before"
#define NO_NAME   "OPEN with a name that is none"

static const struct {
    uint32_t channel;
    const char *detail;
} ids[] = {
    {2, NOT_YOURS}, // ours, and open
    {6, NOT_YOURS}, // ours to open
    {UINT32_MAX - 1, NOT_YOURS},
    {1, NOT_YOURS}, // open
    {3, NOT_YOURS}, // the last one
};

static void test_open_ids(void)
{
    Forge forge;
    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        begin(&forge);
        forge_open(&forge, ids[i].channel, 100, "x");
        end_badly(&forge, ids[i].detail);
    }
    // To a guest, the host's ids are the even ones.
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    forge_open(&forge, 1, 100, "x");
    end_expect(&forge.end, "DOWN protocol: " NOT_YOURS "\n");
    forge_deinit(&forge);
}

// An id that was closed is not used again; nor is one that was skipped.
static void test_open_reused(void)
{
    Forge forge;
    begin(&forge);
    forge_open(&forge, 101, 100, "x");
    forge_reset(&forge, 101, 0);
    end_close(&forge.end, end_channel(&forge.end, 101), MUX_CODE_CLOSED);
    end_forget(&forge.end);
    forge_open(&forge, 101, 100, "x");
    end_badly(&forge, NOT_YOURS);

    begin(&forge);
    forge_open(&forge, 101, 100, "x");
    end_close(&forge.end, end_channel(&forge.end, 101), MUX_CODE_CLOSED);
    forge_listen(&forge);
    end_forget(&forge.end);
    forge_open(&forge, 99, 100, "x");
    end_badly(&forge, NOT_YOURS);
}

static void test_id_gaps(void)
{
    Forge forge;
    begin(&forge);
    forge_open(&forge, 101, 100, "x");
    forge_open(&forge, 0x80000001, 100, "y");
    forge_open(&forge, UINT32_MAX, 100, "z");
    end_expect(&forge.end, "OPEN 101 x\nOPEN 2147483649 y\nOPEN 4294967295 z\n");
    forge_deinit(&forge);
}

// A name of `length` bytes is announced; the frame has `there` bytes of it.
static void open_named(Forge *forge, const char *name, uint16_t length, uint16_t there)
{
    uint8_t payload[4096];
    memset(payload, 'a', sizeof(payload));
    mux_put64(payload, 100);
    mux_put32(payload + 8, nonce_of(5));
    mux_put16(payload + 12, length);
    memcpy(payload + 14, name, strlen(name));
    forge_put(forge, MUX_FRAME_OPEN, 5, payload, (uint16_t)(14 + there));
}

static void test_open_names(void)
{
    static const struct {
        const char *name;
        uint16_t length, there;
        const char *detail;
    } names[] = {
        {"", 0, 1, NO_NAME},
        {"-a", 2, 2, NO_NAME},
        {"\n", 1, 1, NO_NAME},
        {"\xff", 1, 1, NO_NAME},
        {"a\x01", 2, 2, NO_NAME},
        {"", 129, 129, NO_NAME},   // 'a', 129 times
        {"", 4082, 4082, NO_NAME}, // the largest frame there is
        {"a:", 1027, 1027, NO_NAME},
        {"a", 2, 1, "OPEN with a name longer than the frame"},
        {"a", UINT16_MAX, 4082, "OPEN with a name longer than the frame"},
        {"a", 4083, 4082, "OPEN with a name longer than the frame"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        Forge forge;
        begin(&forge);
        open_named(&forge, names[i].name, names[i].length, names[i].there);
        end_badly(&forge, names[i].detail);
    }
}

// What follows the name are attributes, of which those of later versions are passed over.
static void test_open_attributes(void)
{
    static const char name[] = "xyz\xff\xff\xe1\x03"; // an attribute of 993 bytes
    Forge forge;
    begin(&forge);
    open_named(&forge, name, 3, 1000);
    end_expect(&forge.end, "OPEN 5 xyz\n");
    forge_deinit(&forge);
    begin(&forge);
    open_named(&forge, name, 3, 999);
    end_badly(&forge, "OPEN with attributes longer than the frame");
}

// The owner never heard of this channel, and does not hear of its end.
static void test_open_credit(void)
{
    static const uint64_t credits[] = {(uint64_t)MUX_CREDIT_MAX + 1, UINT64_MAX, 1ull << 63};
    for (size_t i = 0; i < G_N_ELEMENTS(credits); i++) {
        Forge forge;
        begin(&forge);
        forge_open(&forge, 5, credits[i], "x");
        end_badly(&forge, "OPEN with a credit beyond reason");
    }
}

static void test_too_many(void)
{
    static const MuxLimits limits = {.channels = 6, .pending = 3};
    Forge forge;
    forge_up(&forge, MUX_HOST, &limits, NULL);
    forge.end.accepts = true;
    for (uint32_t id = 1; id <= 11; id += 2)
        forge_open(&forge, id, 0, "x");
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_open(&forge, 13, 0, "x");
    g_assert_true(
        g_str_has_suffix(forge.end.log->str, "DOWN protocol: more channels than the limit\n"));
    forge_deinit(&forge);
}

static void test_too_many_pending(void)
{
    static const MuxLimits limits = {.channels = 6, .pending = 3};
    Forge forge;
    forge_up(&forge, MUX_HOST, &limits, NULL);
    for (uint32_t id = 1; id <= 5; id += 2)
        forge_open(&forge, id, 0, "x");
    mux_channel_accept(end_channel(&forge.end, 3), NULL);
    forge_open(&forge, 7, 0, "x");
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_open(&forge, 9, 0, "x");
    g_assert_true(g_str_has_suffix(forge.end.log->str,
                                   "DOWN protocol: more opens to be answered than the limit\n"));
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/violation/%s", cases[i].name);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/violation/accept-other-nonce", test_accept_other);
    g_test_add_func("/violation/accept-other-nonce-late", test_accept_other_late);
    g_test_add_func("/violation/all-nonces-are-fine", test_nonces);
    g_test_add_func("/violation/open/ids", test_open_ids);
    g_test_add_func("/violation/open/reused", test_open_reused);
    g_test_add_func("/violation/open/gaps-are-fine", test_id_gaps);
    g_test_add_func("/violation/open/names", test_open_names);
    g_test_add_func("/violation/open/attributes-are-fine", test_open_attributes);
    g_test_add_func("/violation/open/credit", test_open_credit);
    g_test_add_func("/violation/open/too-many", test_too_many);
    g_test_add_func("/violation/open/too-many-pending", test_too_many_pending);
    return g_test_run();
}
