// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// handshake.c: two ends that know nothing of each other agree on a session, or on none.

#include "forge.h"
#include "proto/limits.h"

#define REFLECTED "REJECT the port gives back what is written to it\n"
#define SAME_ROLE "REJECT the other end has the same role: guestmux must face hostmux\n"
#define VERSIONS  "REJECT the other end has no protocol version in common with this one\n"

static const MuxHello from_guest = {.version_min = 1,
                                    .version_max = 1,
                                    .role = MUX_GUEST,
                                    .id = GUEST_ID,
                                    .channels = 8,
                                    .pending = 8};

static void feed_hello(End *end, const MuxHello *hello)
{
    uint8_t base[MUX_HELLO_SIZE];
    mux_hello_encode(base, hello);
    end_feed(end, base, sizeof(base));
}

// All that an end says in a handshake, as "HELLO <echo in hex>" lines.
static char *hellos(End *end)
{
    g_autoptr(GByteArray) out = end_output(end);
    GString *text = g_string_new(NULL);
    MuxHello hello;
    size_t at = 0, used;
    while (at < out->len && mux_hello_find(out->data + at, out->len - at, &hello, &used) == 0) {
        g_string_append_printf(text, "HELLO %" G_GINT64_MODIFIER "x\n", hello.echo);
        at += used;
    }
    return g_string_free(text, FALSE);
}

#define expect_hellos(end, expected)                                                               \
    do {                                                                                           \
        g_autofree char *text = hellos(end);                                                       \
        g_assert_cmpstr(text, ==, expected);                                                       \
    } while (0)

static void assert_talk(Pair *pair)
{
    pair->host.accepts = true;
    MuxChannel *channel = end_open(&pair->guest, "echo");
    pair_settle(pair);
    end_write(&pair->guest, channel, "hello", 5);
    pair_settle(pair);
    end_expect(&pair->guest, "ACCEPT 1\n");
    end_expect(&pair->host, "OPEN 1 echo\nDATA 1 hello\n");
}

// --- both are willing

static void test_both_at_once(void)
{
    Pair pair;
    pair_init(&pair, NULL, NULL);
    end_start(&pair.guest, GUEST_ID);
    end_start(&pair.host, HOST_ID);
    g_autoptr(GByteArray) g = end_output(&pair.guest);
    g_autoptr(GByteArray) h = end_output(&pair.host);
    end_feed(&pair.guest, h->data, h->len);
    end_feed(&pair.host, g->data, g->len);
    end_expect(&pair.guest, "");
    end_expect(&pair.host, "");
    g_autoptr(GByteArray) g2 = end_output(&pair.guest);
    end_feed(&pair.host, g2->data, g2->len);
    end_expect(&pair.host, "UP\n");
    pair_settle(&pair);
    end_expect(&pair.guest, "UP\n");
    assert_talk(&pair);
    pair_deinit(&pair);
}

static void test_one_late(void)
{
    for (unsigned who = 0; who < 2; who++) {
        Pair pair;
        pair_init(&pair, NULL, NULL);
        End *early = who ? &pair.host : &pair.guest, *late = who ? &pair.guest : &pair.host;
        end_start(early, who ? HOST_ID : GUEST_ID);
        g_autoptr(GByteArray) waits = end_output(early); // in the pipe
        end_start(late, who ? GUEST_ID : HOST_ID);
        end_feed(late, waits->data, waits->len);
        pair_settle(&pair);
        end_expect(&pair.guest, "UP\n");
        end_expect(&pair.host, "UP\n");
        assert_talk(&pair);
        pair_deinit(&pair);
    }
}

// One HELLO for each new id that is heard, and none for one that was answered.
static void test_answers(void)
{
    End host;
    MuxHello hello = from_guest;
    end_init(&host, MUX_HOST, NULL);
    end_start(&host, HOST_ID);
    expect_hellos(&host, "HELLO 0\n");
    feed_hello(&host, &hello);
    expect_hellos(&host, "HELLO 1111\n");
    feed_hello(&host, &hello);
    expect_hellos(&host, "");
    hello.id = 0x3333;
    feed_hello(&host, &hello);
    hello.id = 0x4444;
    feed_hello(&host, &hello);
    expect_hellos(&host, "HELLO 4444\n"); // the newest is the one that counts
    end_expect(&host, "");
    hello.echo = HOST_ID;
    feed_hello(&host, &hello);
    end_expect(&host, "UP\n");
    g_assert_cmphex(end_info(&host).peer_id, ==, 0x4444);
    end_deinit(&host);
}

// A host that was not asked yet whose first HELLO already meets one: it is up, and says so.
static void test_first_is_echo(void)
{
    End host;
    MuxHello hello = from_guest;
    end_init(&host, MUX_HOST, NULL);
    end_start(&host, HOST_ID);
    hello.echo = HOST_ID;
    feed_hello(&host, &hello);
    end_expect(&host, "UP\n");
    end_open(&host, "a");
    g_autoptr(GByteArray) out = end_output(&host);
    // Nothing of the session goes before the HELLO that the other end waits for.
    g_assert_cmpuint(out->len, ==, MUX_FRAME_MAX + MUX_HELLO_SIZE + 16 + 15 + 4);
    MuxHello said;
    size_t used;
    g_assert_cmpint(mux_hello_find(out->data, out->len, &said, &used), ==, 0);
    g_assert_cmphex(said.echo, ==, GUEST_ID);
    g_assert_cmpuint(used, ==, MUX_FRAME_MAX + MUX_HELLO_SIZE);
    end_deinit(&host);
}

// --- no session can be agreed on

static void test_reflected(void)
{
    End host;
    end_init(&host, MUX_HOST, NULL);
    end_start(&host, HOST_ID);
    g_autoptr(GByteArray) own = end_output(&host);
    end_feed(&host, own->data, own->len);
    end_expect(&host, REFLECTED);
    expect_hellos(&host, ""); // no answer, or it would go on for ever
    end_deinit(&host);
}

static void test_roles(void)
{
    for (unsigned role = 0; role < 256; role++) {
        End host;
        MuxHello hello = from_guest;
        end_init(&host, MUX_HOST, NULL);
        end_start(&host, HOST_ID);
        hello.role = (uint8_t)role;
        hello.echo = HOST_ID;
        feed_hello(&host, &hello);
        end_expect(&host, role == MUX_GUEST ? "UP\n" : SAME_ROLE);
        g_assert_true(mux_session_is_up(host.session) == (role == MUX_GUEST));
        end_deinit(&host);
    }
}

static void test_versions(void)
{
    static const struct {
        uint16_t min, max, agreed;
    } ranges[] = {
        {1, 1, 1}, {0, 1, 1}, {1, 9, 1}, {0, UINT16_MAX, 1}, {1, 0, 0},
        {0, 0, 0}, {2, 2, 0}, {2, 9, 0}, {2, 1, 0},          {UINT16_MAX, UINT16_MAX, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++) {
        End host;
        MuxHello hello = from_guest;
        end_init(&host, MUX_HOST, NULL);
        end_start(&host, HOST_ID);
        hello.version_min = ranges[i].min;
        hello.version_max = ranges[i].max;
        hello.echo = HOST_ID;
        feed_hello(&host, &hello);
        end_expect(&host, ranges[i].agreed ? "UP\n" : VERSIONS);
        g_assert_cmpuint(end_info(&host).version, ==, ranges[i].agreed);
        end_deinit(&host);
    }
}

// Features and limits of a version that is not there yet are no obstacle.
static void test_unknown_features(void)
{
    Forge forge;
    const MuxHello most = {.version_min = 1,
                           .version_max = 1,
                           .features = UINT32_MAX,
                           .channels = UINT32_MAX,
                           .pending = UINT32_MAX};
    forge_up(&forge, MUX_HOST, NULL, &most);
    g_assert_cmpuint(end_info(&forge.end).features, ==, MUX_FEATURES);
    g_assert_nonnull(end_open(&forge.end, "a"));
    forge_expect(&forge, "OPEN 2 16384 a\n");
    forge_deinit(&forge);
}

// A session has what both offer.
static void test_features(void)
{
    static const MuxLimits without = {.without = MUX_FEATURE_MEMORY};
    const MuxLimits *const limits[] = {NULL, &without};
    for (unsigned i = 0; i < 4; i++) {
        Pair pair;
        pair_init(&pair, limits[i % 2], limits[i / 2]);
        pair_up(&pair);
        uint32_t both = i == 0 ? MUX_FEATURE_MEMORY : 0;
        g_assert_cmphex(end_info(&pair.guest).features, ==, both);
        g_assert_cmphex(end_info(&pair.host).features, ==, both);
        pair_deinit(&pair);
    }
}

// After a refusal it goes on listening: the right one may come yet.
static void test_reject_then_up(void)
{
    Pair pair;
    MuxHello wrong = from_guest;
    pair_init(&pair, NULL, NULL);
    end_start(&pair.host, HOST_ID);
    wrong.version_min = wrong.version_max = 7;
    feed_hello(&pair.host, &wrong);
    end_expect(&pair.host, VERSIONS);
    pair_up(&pair);
    assert_talk(&pair);
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/handshake/both-at-once", test_both_at_once);
    g_test_add_func("/handshake/one-late", test_one_late);
    g_test_add_func("/handshake/answers", test_answers);
    g_test_add_func("/handshake/first-is-echo", test_first_is_echo);
    g_test_add_func("/handshake/reflected", test_reflected);
    g_test_add_func("/handshake/roles", test_roles);
    g_test_add_func("/handshake/versions", test_versions);
    g_test_add_func("/handshake/unknown-features", test_unknown_features);
    g_test_add_func("/handshake/features", test_features);
    g_test_add_func("/handshake/reject-then-up", test_reject_then_up);
    return g_test_run();
}
