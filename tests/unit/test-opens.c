// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Opens that come to nothing, as many as there may be, over and over: every counter is back at zero
// each time, and whoever did nothing wrong is not taken for someone who did.

#include "forge.h"
#include "proto/session-private.h"

static const MuxLimits small = {.channels = 8, .pending = 8};

// As many as the limit, over and over: refused by the peer.
static void test_refused(void)
{
    Pair pair;
    pair_init(&pair, &small, &small);
    pair_up(&pair);
    for (unsigned round = 0; round < 50; round++) {
        uint32_t first = 1 + round * 16;
        for (unsigned i = 0; i < 8; i++)
            g_assert_nonnull(end_open(&pair.guest, "nobody"));
        g_assert_null(end_open(&pair.guest, "nobody"));
        pair_settle(&pair);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.host, end_channel(&pair.host, id), MUX_CODE_NO_SERVICE);
        pair_settle(&pair);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_CLOSED);
        end_assert_idle(&pair.guest);
        end_assert_idle(&pair.host);
    }
    pair_deinit(&pair);
}

// Given up by who opened them: before OPEN is out, before it is answered, while the answer is under
// way.
static void test_given_up(void)
{
    Pair pair;
    pair_init(&pair, &small, &small);
    pair_up(&pair);
    for (unsigned round = 0; round < 60; round++) {
        uint32_t first = 1 + round * 16;
        for (unsigned i = 0; i < 8; i++)
            end_open(&pair.guest, "slow");
        if (round % 3 > 0)
            pair_settle(&pair);
        for (uint32_t id = first; round % 3 == 2 && id < first + 16; id += 2)
            mux_channel_accept(end_channel(&pair.host, id), NULL);
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_TIMEOUT);
        pair_settle(&pair);
        for (uint32_t id = first; round % 3 > 0 && id < first + 16; id += 2)
            end_close(&pair.host, end_channel(&pair.host, id), MUX_CODE_CLOSED);
        end_assert_idle(&pair.guest);
        end_assert_idle(&pair.host);
    }
    pair_deinit(&pair);
}

// Both reset all at the same time; the peer opens as many anew at once. It has done nothing wrong,
// though our own resets are not out yet.
static void test_crossed(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, &small, NULL);
    for (unsigned round = 0; round < 20; round++) {
        uint32_t first = 1 + round * 16;
        for (uint32_t id = first; id < first + 16; id += 2)
            forge_open(&forge, id, 0, "a");
        for (uint32_t id = first; id < first + 16; id += 2)
            end_close(&forge.end, end_channel(&forge.end, id), MUX_CODE_DENIED);
        for (uint32_t id = first; id < first + 16; id += 2)
            forge_reset(&forge, id, MUX_CODE_TIMEOUT);
        end_assert_idle(&forge.end);
    }
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_expect(&forge, ""); // the peer knows already
    forge_deinit(&forge);
}

// Our direction was closed and said so, then we gave the channel up; the peer's FIN crosses our
// reset. To the peer the channel is closed.
static void test_crossed_by_fin(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, &small, NULL);
    forge.end.accepts = true;
    for (unsigned round = 0; round < 20; round++) {
        uint32_t first = 1 + round * 16;
        for (uint32_t id = first; id < first + 16; id += 2) {
            forge_open(&forge, id, 0, "a");
            mux_channel_fin(end_channel(&forge.end, id));
        }
        g_assert_cmpuint(forge_listen(&forge), ==, 16); // ACCEPT and FIN
        for (uint32_t id = first; id < first + 16; id += 2) {
            end_close(&forge.end, end_channel(&forge.end, id), MUX_CODE_CLOSED);
            forge_empty(&forge, MUX_FRAME_FIN, id);
        }
        end_assert_idle(&forge.end);
    }
    g_assert_cmpuint(forge_listen(&forge), ==, 0);
    forge_deinit(&forge);
}

// An owner that is slow to close what is dead: others are refused, the peer is not at fault, and
// what is held is bounded.
static void test_dead_are_held(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, &small, NULL);
    for (uint32_t id = 1; id < 201; id += 2) {
        forge_open(&forge, id, 0, "a");
        forge_reset(&forge, id, 0);
        g_assert_cmpuint(forge.end.session->alive, <=, 17);
    }
    g_assert_true(mux_session_is_up(forge.end.session));
    g_assert_cmpuint(g_hash_table_size(forge.end.channels), ==, 16);
    forge_open(&forge, 201, 0, "a");
    forge_expect(&forge, "RESET 201 limit\n");
    g_assert_null(end_open(&forge.end, "b")); // and none of ours either
    end_close(&forge.end, end_channel(&forge.end, 1), MUX_CODE_CLOSED);
    end_forget(&forge.end);
    forge_open(&forge, 203, 0, "a");
    end_expect(&forge.end, "OPEN 203 a\n");
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/opens/refused", test_refused);
    g_test_add_func("/opens/given-up", test_given_up);
    g_test_add_func("/opens/crossed", test_crossed);
    g_test_add_func("/opens/crossed-by-fin", test_crossed_by_fin);
    g_test_add_func("/opens/dead-are-held", test_dead_are_held);
    return g_test_run();
}
