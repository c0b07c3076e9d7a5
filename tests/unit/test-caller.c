// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// caller.c: who opens a channel, in OPEN's attributes; alone, and through two sessions.

#include <string.h>

#include "forge.h"
#include "proto/bytes.h"
#include "proto/caller.h"

static const MuxCaller alice = {.known = true, .uid = 1000, .gid = 0xfffffffe, .program = "curl"};

static void assert_same(const MuxCaller *a, const MuxCaller *b)
{
    g_assert_cmpint(a->known, ==, b->known);
    g_assert_cmpuint(a->uid, ==, b->uid);
    g_assert_cmpuint(a->gid, ==, b->gid);
    g_assert_cmpstr(a->program, ==, b->program);
}

// As PROTOCOL.md shows it.
static void test_bytes(void)
{
    static const uint8_t expected[] = {1,    0,    12,   0,    0xe8, 3,   0,   0,
                                       0xfe, 0xff, 0xff, 0xff, 'c',  'u', 'r', 'l'};
    uint8_t bytes[MUX_CALLER_SIZE];

    g_assert_cmpmem(bytes, mux_caller_encode(bytes, &alice), expected, sizeof(expected));
    g_assert_cmpuint(mux_caller_encode(bytes, &(MuxCaller){.uid = 5}), ==, 0);
}

static void test_back(void)
{
    uint8_t bytes[MUX_CALLER_SIZE];
    MuxCaller caller = {.known = true, .uid = 7}, back;

    memset(caller.program, 'x', MUX_PROGRAM_MAX);
    g_assert_cmpuint(mux_caller_encode(bytes, &caller), ==, MUX_CALLER_SIZE);
    g_assert_cmpint(mux_caller_decode(bytes, MUX_CALLER_SIZE, &back), ==, 0);
    assert_same(&back, &caller);
    g_assert_cmpint(mux_caller_decode(bytes, 0, &back), ==, 0);
    g_assert_false(back.known);
}

// A longer name is cut, and what would control a terminal does not get there.
static void test_untrusted_program(void)
{
    uint8_t bytes[4 + 8 + 100] = {1, 0, 108};
    MuxCaller back;

    memset(bytes + 12, 'y', 100);
    memcpy(bytes + 12, "a\x1b[\0\xff b", 7);
    g_assert_cmpint(mux_caller_decode(bytes, sizeof(bytes), &back), ==, 0);
    g_assert_cmpuint(strlen(back.program), ==, MUX_PROGRAM_MAX);
    g_assert_true(g_str_has_prefix(back.program, "a?[???byyy"));
}

// Every length that overruns, at every size; and attributes of later versions around it.
static void test_overruns(void)
{
    uint8_t bytes[8 + MUX_CALLER_SIZE + 8] = {0xff, 0x7f, 4, 0, 9, 9, 9, 9};
    size_t n = mux_caller_encode(bytes + 8, &alice);
    MuxCaller back;

    mux_put16(bytes + 8 + n, 2);
    mux_put16(bytes + 8 + n + 2, 0);
    size_t all = 8 + n + 4;
    g_assert_cmpint(mux_caller_decode(bytes, all, &back), ==, 0);
    assert_same(&back, &alice);
    for (size_t size = 1; size < all; size++) {
        bool whole = size == 8 || size == 8 + n;
        g_autofree uint8_t *copy = g_memdup2(bytes, size); // a read behind it would be seen
        g_assert_cmpint(mux_caller_decode(copy, size, &back), ==, whole ? 0 : MUX_CALLER_BAD);
    }
    // Too short to be a caller: passed over.
    uint8_t shorter[] = {1, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7};
    g_assert_cmpint(mux_caller_decode(shorter, sizeof(shorter), &back), ==, 0);
    g_assert_false(back.known);
}

static void open_with(Forge *forge, uint32_t id, const char *name, const uint8_t *attributes,
                      size_t n)
{
    uint8_t payload[256];
    size_t length = strlen(name);

    mux_put64(payload, 0);
    mux_put32(payload + MUX_NONCE_AT, nonce_of(id));
    mux_put16(payload + MUX_NAME_LENGTH_AT, (uint16_t)length);
    memcpy(payload + MUX_NAME_AT, name, length);
    memcpy(payload + MUX_NAME_AT + length, attributes, n);
    forge_put(forge, MUX_FRAME_OPEN, id, payload, (uint16_t)(MUX_NAME_AT + length + n));
}

static void test_session_error(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    open_with(&forge, 1, "a", (const uint8_t[]){1, 0, 9}, 3);
    end_expect(&forge.end, "DOWN protocol: OPEN with attributes longer than the frame\n");
    forge_deinit(&forge);
}

// The daemons' own names pass where a service's would not; with anything else they do not.
static void test_own_names(void)
{
    static const char *const bad[] = {"@", "@@a", "@a:b", "@-a", "@a/b"};
    Forge forge;

    g_assert_true(mux_name_own("@services", 9));
    forge_up(&forge, MUX_HOST, NULL, NULL);
    open_with(&forge, 1, "@services", (const uint8_t *)"", 0);
    end_expect(&forge.end, "OPEN 1 @services\n");
    forge_deinit(&forge);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(mux_name_own(bad[i], strlen(bad[i])));
        forge_up(&forge, MUX_HOST, NULL, NULL);
        open_with(&forge, 1, bad[i], (const uint8_t *)"", 0);
        end_expect(&forge.end, "DOWN protocol: OPEN with a name that is none\n");
        forge_deinit(&forge);
    }
}

// From one session to the other; and an opener that does not say.
static void test_carried(void)
{
    const MuxOpening openings[] = {{.name = "a", .length = 1, .nonce = 1, .caller = &alice},
                                   {.name = "a", .length = 1, .nonce = 2}};
    Pair pair;
    MuxEvent event;
    MuxChannel *channel;

    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    for (size_t i = 0; i < G_N_ELEMENTS(openings); i++) {
        g_assert_cmpint(mux_session_open(pair.guest.session, &openings[i], &channel), ==, 0);
        g_autoptr(GByteArray) bytes = end_output(&pair.guest);
        uint8_t *base;
        g_assert_cmpuint(mux_session_input(pair.host.session, &base), >=, bytes->len);
        memcpy(base, bytes->data, bytes->len);
        mux_session_input_done(pair.host.session, bytes->len, 0);
        g_assert_true(mux_session_next_event(pair.host.session, &event));
        g_assert_cmpint(event.type, ==, MUX_EVENT_OPEN);
        assert_same(event.caller, i == 0 ? &alice : &(MuxCaller){0});
        mux_channel_close(event.channel, MUX_CODE_CLOSED);
        mux_channel_close(channel, MUX_CODE_CLOSED);
    }
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/caller/bytes", test_bytes);
    g_test_add_func("/caller/back", test_back);
    g_test_add_func("/caller/untrusted-program", test_untrusted_program);
    g_test_add_func("/caller/overruns", test_overruns);
    g_test_add_func("/caller/session-error", test_session_error);
    g_test_add_func("/caller/own-names", test_own_names);
    g_test_add_func("/caller/carried", test_carried);
    return g_test_run();
}
