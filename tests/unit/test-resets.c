// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Channels that are opened and reset in a storm (CVE-2023-44487): a sender keeps to a pace, a
// receiver that is given more ends the session, and neither a pause nor a refusal is taken for an
// attack.

#include <string.h>

#include "forge.h"
#include "proto/limits.h"
#include "proto/session-private.h"

#define STORM "DOWN protocol: resets in a storm\n"

// The peer opens and resets until it is stopped; returns how often it could.
static unsigned storm(Forge *forge, MuxRole role, bool refused, uint64_t step_us)
{
    forge_up(forge, role, NULL, NULL);
    for (unsigned n = 0; n < 200000; n++) {
        uint32_t id = 2 * n + (role == MUX_HOST ? 1 : 2);
        forge->end.now_us += step_us;
        forge_open(forge, id, 0, "a");
        if (refused)
            end_close(&forge->end, end_channel(&forge->end, id), MUX_CODE_DENIED);
        forge_reset(forge, id, 0);
        if (!mux_session_is_up(forge->end.session))
            return n;
        if (!refused)
            end_close(&forge->end, end_channel(&forge->end, id), MUX_CODE_CLOSED);
        end_forget(&forge->end);
    }
    return 200000;
}

static void test_reset_storm(void)
{
    for (unsigned i = 0; i < 4; i++) {
        Forge forge;
        g_assert_cmpuint(storm(&forge, i % 2 ? MUX_HOST : MUX_GUEST, i / 2, 0), ==,
                         MUX_RESETS_BURST_IN);
        g_assert_true(g_str_has_suffix(forge.end.log->str, STORM));
        forge_deinit(&forge);
    }
}

// As fast as a peer of ours can be, it may go on for ever.
static void test_reset_paced(void)
{
    Forge forge;
    g_assert_cmpuint(storm(&forge, MUX_HOST, false, 1000000 / MUX_RESETS_PER_SECOND), ==, 200000);
    forge_deinit(&forge);
}

// What we open, the peer may refuse, as fast as we open it: that is our storm.
static void test_refusals_are_no_storm(void)
{
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    for (uint32_t id = 2; id <= 2 * (MUX_RESETS_BURST_IN + 1000); id += 2) {
        MuxChannel *channel = end_open(&forge.end, "a");
        g_assert_cmpuint(forge_listen(&forge), >, 0);
        forge_reset(&forge, id, MUX_CODE_NO_SERVICE);
        end_close(&forge.end, channel, MUX_CODE_CLOSED);
    }
    g_assert_true(mux_session_is_up(forge.end.session));
    end_assert_idle(&forge.end);
    forge_deinit(&forge);
}

// Our own resets of what we opened: a burst, then so many a second; a deadline says when to come
// back.
static void test_own_resets(void)
{
    Pair pair;
    unsigned total = 0;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    pair.host.session->limits.pending = UINT32_MAX;
    pair.guest.session->peer.pending = UINT32_MAX;
    for (unsigned i = 0; i < 6000; i++)
        g_assert_nonnull(end_open(&pair.guest, "a"));
    pair_settle(&pair);
    g_assert_cmpuint(g_hash_table_size(pair.host.channels), ==, 6000);
    for (uint32_t id = 1; id < 12000; id += 2)
        end_close(&pair.guest, end_channel(&pair.guest, id), MUX_CODE_CLOSED);
    end_forget(&pair.host);
    // Until the bucket is empty, they are no reason to come back soon.
    g_assert_cmpuint(mux_session_deadline(pair.guest.session), >=,
                     pair.guest.now_us + MUX_PING_SOON_US);
    pair_settle(&pair);
    for (const char *p = pair.host.log->str; (p = strstr(p, "RESET")); p++)
        total++;
    g_assert_cmpuint(total, ==, MUX_RESETS_BURST);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 6000 - MUX_RESETS_BURST);
    uint64_t due = mux_session_deadline(pair.guest.session);
    g_assert_cmpuint(due, ==, pair.guest.now_us + 100 * 1000000u / MUX_RESETS_PER_SECOND);
    // While the port stands still they wait for its ACK.
    mux_output_limit(&pair.guest.session->output, 0);
    g_assert_cmpuint(mux_session_deadline(pair.guest.session), >=,
                     pair.guest.now_us + MUX_PING_SOON_US);
    mux_output_limit(&pair.guest.session->output, MUX_FLIGHT_MAX);
    pair_sleep(&pair, due - pair.guest.now_us);
    pair_settle(&pair);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 6000 - MUX_RESETS_BURST - 100);
    pair_sleep(&pair, 1000000);
    pair_settle(&pair);
    g_assert_cmpuint(end_info(&pair.guest).channels, ==, 0);
    g_assert_true(mux_session_is_up(pair.host.session));
    pair_deinit(&pair);
}

// A storm of our own apps while the peer's VM is paused: what then arrives all at once is no storm
// of a peer that is up to something.
static void test_resets_after_pause(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    pair_up(&pair);
    g_autoptr(GByteArray) pipe = g_byte_array_new();
    const guint port = 128 * MUX_FRAME_MAX;
    for (unsigned ms = 0; ms < 60000; ms += 10) {
        pair.guest.now_us += 10000;
        mux_session_tick(pair.guest.session, pair.guest.now_us);
        for (unsigned i = 0; i < 100; i++) {
            MuxChannel *channel = end_open(&pair.guest, "a");
            if (!channel || pipe->len >= port)
                break;
            g_autoptr(GByteArray) out = end_output(&pair.guest);
            g_byte_array_append(pipe, out->data, out->len);
            end_close(&pair.guest, channel, MUX_CODE_TIMEOUT);
        }
        end_drain(&pair.guest);
    }
    pair.host.now_us = pair.guest.now_us;
    end_feed(&pair.host, pipe->data, pipe->len);
    g_assert_null(strstr(pair.host.log->str, "DOWN"));
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/resets/storm", test_reset_storm);
    g_test_add_func("/resets/paced", test_reset_paced);
    g_test_add_func("/resets/refusals", test_refusals_are_no_storm);
    g_test_add_func("/resets/own", test_own_resets);
    g_test_add_func("/resets/after-pause", test_resets_after_pause);
    return g_test_run();
}
