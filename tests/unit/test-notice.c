// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// notice.c: however many notices there are, one of each waits, and it says what is newest.

#include <string.h>

#include "forge.h"
#include "proto/bytes.h"
#include "proto/limits.h"

static void say(Forge *forge, MuxNotice *notice, uint64_t sequence)
{
    notice->sequence = sequence;
    notice->offset = sequence * 10;
    notice->length = sequence * 100;
    mux_session_notify(forge->end.session, notice);
}

// A storm of them is one, with the last one's values; values may change while it waits.
static void test_newest(void)
{
    Forge forge;
    MuxNotice notice;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    mux_notice_init(&notice, 77);
    for (uint64_t i = 1; i <= 100000; i++)
        say(&forge, &notice, i);
    notice.length = 5;
    forge_expect(&forge, "NOTICE 77 100000 1000000 5\n");
    forge_expect(&forge, "");
    say(&forge, &notice, 1);
    forge_expect(&forge, "NOTICE 77 1 10 100\n");
    mux_notice_deinit(&notice);
    forge_deinit(&forge);
}

// In the order in which they became due, behind the session's other frames and before channels'.
static void test_order(void)
{
    Forge forge;
    MuxNotice a, b, c;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    mux_notice_init(&a, 1);
    mux_notice_init(&b, 2);
    mux_notice_init(&c, 3);
    end_open(&forge.end, "a");
    say(&forge, &b, 1);
    say(&forge, &a, 1);
    say(&forge, &c, 1);
    say(&forge, &b, 2);
    mux_notice_deinit(&c);
    mux_notice_deinit(&c);
    forge_number(&forge, MUX_FRAME_PING, 0, 4);
    forge_expect(&forge, "PONG 4\nNOTICE 2 2 20 200\nNOTICE 1 1 10 100\nOPEN 2 16384 a\n");
    forge_deinit(&forge);
}

// More than a batch holds.
static void test_many(void)
{
    enum { MANY = 2000 };
    static MuxNotice notices[MANY];
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    for (uint64_t i = 0; i < MANY; i++) {
        mux_notice_init(&notices[i], i);
        say(&forge, &notices[i], i);
    }
    g_assert_cmpuint(forge_listen(&forge), ==, MANY);
    g_auto(GStrv) lines = g_strsplit(forge.said->str, "\n", -1);
    for (unsigned i = 0; i < MANY; i++) {
        g_autofree char *line = g_strdup_printf("NOTICE %u %u %u %u", i, i, i * 10, i * 100);
        g_assert_cmpstr(lines[i], ==, line);
    }
    forge_deinit(&forge);
}

// As data they wait while much is in flight, so a peer that reads slowly gets few.
static void test_flight(void)
{
    static char much[MUX_PAYLOAD_MAX];
    Forge forge;
    MuxNotice notice;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    mux_notice_init(&notice, 1);
    MuxChannel *channel = end_open(&forge.end, "a");
    forge_listen(&forge);
    forge_accept(&forge, 2, MUX_CREDIT_MAX);
    while (end_write(&forge.end, channel, much, sizeof(much)) > 0)
        forge_listen(&forge);
    g_string_truncate(forge.said, 0);
    for (uint64_t i = 1; i < 1000; i++) {
        say(&forge, &notice, i);
        forge_expect(&forge, "");
    }
    forge_number(&forge, MUX_FRAME_ACK, 0, end_info(&forge.end).sent);
    forge_expect(&forge, "NOTICE 1 999 9990 99900\n");

    // Notices alone do not go on for ever either.
    unsigned said = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        say(&forge, &notice, i);
        said += forge_listen(&forge);
    }
    g_assert_cmpuint(said, <=, MUX_FLIGHT_MAX / (20 + MUX_NOTICE_SIZE) + 1);
    g_assert_cmpuint(end_info(&forge.end).in_flight, <, MUX_FLIGHT_MAX + MUX_FRAME_MAX);
    mux_notice_deinit(&notice);
    forge_deinit(&forge);
}

// No session, no notice; and what waited for one session does not come in the next.
static void test_sessions(void)
{
    static const MuxLimits without = {.without = MUX_FEATURE_MEMORY};
    Pair pair;
    Forge forge;
    MuxNotice early, late;
    mux_notice_init(&early, 1);
    mux_notice_init(&late, 2);
    pair_init(&pair, NULL, NULL);
    mux_session_notify(pair.guest.session, &early);
    end_start(&pair.guest, GUEST_ID);
    mux_session_notify(pair.guest.session, &early);
    pair_up(&pair);
    pair_settle(&pair);
    end_expect(&pair.host, "");
    mux_session_notify(pair.guest.session, &late);
    mux_session_stop(pair.guest.session);
    mux_session_stop(pair.host.session);
    end_drain(&pair.guest);
    end_drain(&pair.host);
    end_forget(&pair.guest);
    end_forget(&pair.host);
    pair_up(&pair);
    pair_settle(&pair);
    end_expect(&pair.host, "");
    mux_session_notify(pair.guest.session, &late);
    pair_settle(&pair);
    end_expect(&pair.host, "NOTICE 2 0 0 0\n");
    // One that waits when the session is freed may be used on.
    mux_session_notify(pair.guest.session, &late);
    pair_deinit(&pair);
    mux_notice_deinit(&late);

    forge_up(&forge, MUX_HOST, &without, NULL);
    mux_session_notify(forge.end.session, &early);
    forge_expect(&forge, "");
    forge_deinit(&forge);
}

static void forge_notice(Forge *forge, const uint64_t numbers[4])
{
    uint8_t payload[MUX_NOTICE_SIZE];
    for (unsigned i = 0; i < 4; i++)
        mux_put64(payload + 8u * i, numbers[i]);
    forge_put(forge, MUX_FRAME_NOTICE, 0, payload, sizeof(payload));
}

// All that a peer may say is told as it is: whoever has what the id means knows its size.
static void test_received(void)
{
    Forge forge;
    forge_up(&forge, MUX_GUEST, NULL, NULL);
    forge.held = true;
    forge_notice(&forge, (uint64_t[]){1, 2, 3, 4});
    forge_notice(&forge, (uint64_t[]){UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX});
    forge_notice(&forge, (uint64_t[]){0, 0, 0, 0});
    forge_notice(&forge, (uint64_t[]){1, 1, 1, 1}); // an older one
    forge_release(&forge);
    end_expect(&forge.end, "NOTICE 1 2 3 4\n"
                           "NOTICE 18446744073709551615 18446744073709551614 "
                           "18446744073709551613 18446744073709551615\n"
                           "NOTICE 0 0 0 0\n"
                           "NOTICE 1 1 1 1\n");
    g_assert_true(mux_session_is_up(forge.end.session));
    forge_deinit(&forge);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/notice/newest", test_newest);
    g_test_add_func("/notice/order", test_order);
    g_test_add_func("/notice/many", test_many);
    g_test_add_func("/notice/flight", test_flight);
    g_test_add_func("/notice/sessions", test_sessions);
    g_test_add_func("/notice/received", test_received);
    return g_test_run();
}
