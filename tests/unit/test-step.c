// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Loss of step: a frame that is missing, comes twice, is cut, is old, or belongs to somebody else.
// The session ends at once, not a byte of it is delivered, and each open channel is told once.

#include <string.h>

#include "pair.h"
#include "proto/frame.h"
#include "proto/limits.h"

// Three channels are open; 5 was taken and has nothing to do with what follows.
static void begin(Pair *pair)
{
    pair_init(pair, NULL, NULL);
    pair->host.accepts = true;
    pair_up(pair);
    for (unsigned i = 0; i < 3; i++)
        end_open(&pair->guest, "a");
    pair_settle(pair);
    end_forget(&pair->guest);
    end_forget(&pair->host);
}

// The bytes of one frame of the guest's, on channel 1, not yet fed to the host.
static GByteArray *data(Pair *pair, const char *text)
{
    g_assert_cmpuint(end_write(&pair->guest, end_channel(&pair->guest, 1), text, strlen(text)), ==,
                     strlen(text));
    return end_output(&pair->guest);
}

static void feed(Pair *pair, const GByteArray *bytes)
{
    end_feed(&pair->host, bytes->data, bytes->len);
}

static void assert_down(End *end, const char *before, const char *reason)
{
    const char *log = end->log->str;
    g_assert_true(g_str_has_prefix(log, before));
    size_t length = strlen(before);
    for (unsigned id = 1; id <= 5; id += 2) {
        g_autofree char *line = g_strdup_printf("RESET %u link-down\n", id);
        const char *first = strstr(log, line);
        g_assert_nonnull(first);
        g_assert_null(strstr(first + 1, line));
        length += strlen(line);
    }
    g_autofree char *down = g_strdup_printf("DOWN %s\n", reason);
    g_assert_true(g_str_has_suffix(log, down));
    g_assert_cmpuint(strlen(log), ==, length + strlen(down));
    g_assert_false(mux_session_is_started(end->session));
}

static void end_with(Pair *pair, const char *before, const char *reason)
{
    assert_down(&pair->host, before, reason);
    g_assert_cmpuint(end_info(&pair->host).lost_steps, ==, strcmp(reason, "step") == 0);
    pair_deinit(pair);
}

static void test_dropped(void)
{
    Pair pair;
    begin(&pair);
    g_autoptr(GByteArray) first = data(&pair, "first");
    g_byte_array_unref(data(&pair, "lost"));
    g_autoptr(GByteArray) third = data(&pair, "third");
    feed(&pair, first);
    feed(&pair, third);
    end_with(&pair, "DATA 1 first\n", "step");
}

static void test_repeated(void)
{
    Pair pair;
    begin(&pair);
    g_autoptr(GByteArray) first = data(&pair, "first");
    feed(&pair, first);
    feed(&pair, first);
    end_with(&pair, "DATA 1 first\n", "step");
}

static void test_swapped(void)
{
    Pair pair;
    begin(&pair);
    g_autoptr(GByteArray) first = data(&pair, "first");
    g_autoptr(GByteArray) second = data(&pair, "second");
    feed(&pair, second);
    feed(&pair, first);
    end_with(&pair, "", "step");
}

// A snapshot was restored: the guest says again what it had said, and then something else.
static void test_rolled_back(void)
{
    Pair pair;
    begin(&pair);
    g_autoptr(GByteArray) first = data(&pair, "first");
    g_autoptr(GByteArray) second = data(&pair, "second");
    g_autoptr(GByteArray) third = data(&pair, "third");
    feed(&pair, first);
    feed(&pair, second);
    feed(&pair, third);
    feed(&pair, second);
    end_with(&pair, "DATA 1 firstsecondthird\n", "step");
}

// The right number, on the right channel, of another session.
static void test_other_session(void)
{
    Pair pair, other;
    begin(&pair);
    pair_init(&other, NULL, NULL);
    other.host.accepts = true;
    end_start(&other.guest, GUEST_ID + 1);
    end_start(&other.host, HOST_ID);
    pair_settle(&other);
    for (unsigned i = 0; i < 3; i++)
        end_open(&other.guest, "a");
    pair_settle(&other);
    g_autoptr(GByteArray) foreign = data(&other, "secret");
    feed(&pair, foreign);
    pair_deinit(&other);
    end_with(&pair, "", "step");
}

// However much of a frame is missing, what stands in its place is not delivered.
static void test_cut(void)
{
    for (size_t cut = 1; cut < 16 + 6 + 4; cut++) {
        Pair pair;
        begin(&pair);
        g_autoptr(GByteArray) whole = data(&pair, "abcdef");
        g_autoptr(GByteArray) next = data(&pair, "the next one, and a little more than that");
        g_byte_array_set_size(whole, whole->len - (guint)cut);
        feed(&pair, whole);
        feed(&pair, next);
        end_with(&pair, "", "step");
    }
}

// Bytes that nobody sent come in between.
static void test_inserted(void)
{
    for (size_t at = 0; at <= 16 + 6 + 4; at++) {
        Pair pair;
        begin(&pair);
        g_autoptr(GByteArray) whole = data(&pair, "abcdef");
        g_autoptr(GByteArray) next = data(&pair, "the next one");
        end_feed(&pair.host, whole->data, at);
        end_feed(&pair.host, (const uint8_t *)"!", 1);
        end_feed(&pair.host, whole->data + at, whole->len - at);
        feed(&pair, next);
        end_with(&pair, at == whole->len ? "DATA 1 abcdef\n" : "", "step");
    }
}

// --- the peer starts anew

// The guest's daemon is killed after it wrote `n` bytes of a frame, and starts again. The zeros
// that it sends first bring the host to the end of that frame; nothing of it is delivered.
static void restart_in_frame(size_t n, const char *reason)
{
    Pair pair;
    End next;
    begin(&pair);
    g_autoptr(GByteArray) whole = data(&pair, "abcdef");
    end_feed(&pair.host, whole->data, n);
    end_init(&next, MUX_GUEST, NULL);
    end_start(&next, GUEST_ID + 1);
    g_autoptr(GByteArray) hello = end_output(&next);
    feed(&pair, hello);
    assert_down(&pair.host, n == whole->len ? "DATA 1 abcdef\n" : "", reason);

    // And a new session comes of the same bytes.
    end_forget(&pair.host);
    end_start(&pair.host, HOST_ID + 1);
    end_drain(&pair.host);
    while (pair_carry(&pair.host, &next) + pair_carry(&next, &pair.host) > 0) {
    }
    end_expect(&pair.host, "UP\n");
    end_expect(&next, "UP\n");
    end_deinit(&next);
    pair_deinit(&pair);
}

static void test_restart(void)
{
    const size_t size = 16 + 6 + 4;
    restart_in_frame(0, "peer");
    for (size_t n = 1; n < size; n++)
        restart_in_frame(n, "step");
    restart_in_frame(size, "peer");
}

// The same in the middle of the largest frame, at places all over it.
static void test_restart_in_largest(void)
{
    for (size_t n = 16; n < MUX_FRAME_MAX; n += 1021) {
        Pair pair;
        End next;
        begin(&pair);
        uint8_t *whole = g_malloc0(MUX_FRAME_MAX);
        MuxFrame frame = {MUX_FRAME_DATA, MUX_PAYLOAD_MAX, 1, 4, false};
        memset(whole + MUX_HEADER_SIZE, 'x', MUX_PAYLOAD_MAX);
        mux_frame_seal(whole, &frame, mux_frame_key(GUEST_ID, HOST_ID));
        end_feed(&pair.host, whole, n);
        end_expect(&pair.host, "");
        end_init(&next, MUX_GUEST, NULL);
        end_start(&next, GUEST_ID + 1);
        g_autoptr(GByteArray) hello = end_output(&next);
        feed(&pair, hello);
        end_deinit(&next);
        g_free(whole);
        end_with(&pair, "", "step");
    }
}

// --- what is no loss of step

// A HELLO among an app's bytes is an app's bytes.
static void test_hello_in_data(void)
{
    static const MuxHello hello = {
        .version_min = 1, .version_max = 1, .role = MUX_GUEST, .id = 5, .echo = HOST_ID};
    uint8_t base[MUX_HELLO_SIZE];
    Pair pair;
    begin(&pair);
    mux_hello_encode(base, &hello);
    for (unsigned i = 0; i < 3; i++)
        end_write(&pair.guest, end_channel(&pair.guest, 1), base, sizeof(base));
    pair_settle(&pair);
    g_assert_cmpuint(pair.host.taken, ==, 3 * sizeof(base));
    g_assert_true(mux_session_is_up(pair.host.session));
    g_assert_cmphex(end_info(&pair.host).peer_id, ==, GUEST_ID);
    pair_deinit(&pair);
}

// Zeros as data, though zeros are what a peer that starts anew sends.
static void test_zeros_in_data(void)
{
    static const uint8_t zeros[16384];
    Pair pair;
    begin(&pair);
    end_write(&pair.guest, end_channel(&pair.guest, 1), zeros, sizeof(zeros));
    pair_settle(&pair);
    g_assert_cmpuint(pair.host.taken, ==, sizeof(zeros));
    g_assert_true(mux_session_is_up(pair.host.session));
    pair_deinit(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step/dropped", test_dropped);
    g_test_add_func("/step/repeated", test_repeated);
    g_test_add_func("/step/swapped", test_swapped);
    g_test_add_func("/step/rolled-back", test_rolled_back);
    g_test_add_func("/step/other-session", test_other_session);
    g_test_add_func("/step/cut", test_cut);
    g_test_add_func("/step/inserted", test_inserted);
    g_test_add_func("/step/restart", test_restart);
    g_test_add_func("/step/restart-in-largest", test_restart_in_largest);
    g_test_add_func("/step/hello-in-data", test_hello_in_data);
    g_test_add_func("/step/zeros-in-data", test_zeros_in_data);
    return g_test_run();
}
