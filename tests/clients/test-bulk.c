// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Both ends of a bulk stream that keep to it, and ends that are gone.

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bulk-pair.h"

static void test_order(void)
{
    BulkPair pair;
    void *memory = NULL;

    bulk_set_up(&pair, 0, 0);
    g_assert_null(mux_client_bulk_buffer(pair.receiver));
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN);
    bulk_send_piece(&pair, 'a', 1, 0);
    bulk_send_piece(&pair, 'b', FAKE_SIZE / 2, 0);
    const char *a = bulk_take_piece(&pair, 'a', 1), *b = bulk_take_piece(&pair, 'b', FAKE_SIZE / 2);
    g_assert_nonnull(mux_client_bulk_buffer(pair.receiver));
    g_assert_false(mux_client_buffer_writable(mux_client_bulk_buffer(pair.receiver)));
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN);

    // Full, until something comes back, whichever it is.
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, FAKE_SIZE / 2, 0, &memory), ==,
                    MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, FAKE_SIZE / 2, 1, &memory), ==,
                    MUX_CLIENT_TIMEOUT);
    struct pollfd item = {.fd = pair.channel[0], .events = mux_client_bulk_events(pair.sender)};
    g_assert_cmpint(item.events, ==, POLLIN);
    g_assert_cmpint(poll(&item, 1, 0), ==, 0);
    bulk_release(&pair, b);
    g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
    bulk_send_piece(&pair, 'c', FAKE_SIZE / 2, 0);
    g_assert_cmpint(*a, ==, 'a');
    const char *c = bulk_take_piece(&pair, 'c', FAKE_SIZE / 2);
    bulk_release(&pair, a);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, a, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, NULL, 0), ==, -EINVAL);
    bulk_release(&pair, c);
    bulk_tear_down(&pair);
}

// What one may not call.
static void test_misuse(void)
{
    BulkPair pair;
    void *memory = NULL, *second = NULL;
    const void *piece = NULL;
    size_t length;
    MuxClientBulk *other = NULL;

    bulk_set_up(&pair, 128, 640);
    MuxClientBulk *sender = pair.sender, *receiver = pair.receiver;
    g_assert_cmpint(mux_client_bulk_reserve(sender, 0, 0, &memory), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_reserve(sender, 641, 0, &memory), ==, -EMSGSIZE);
    g_assert_cmpint(mux_client_bulk_reserve(receiver, 1, 0, &memory), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_take(sender, 0, &piece, &length), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_end(receiver, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_commit(sender, &pair, 1, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_commit(receiver, &pair, 1, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_reserve(sender, 640, 0, &memory), ==, 0);
    g_assert_true(memory == (char *)mux_client_buffer_memory(pair.buffer) + 128);
    g_assert_cmpint(mux_client_bulk_commit(sender, memory, 641, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_release(sender, memory, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_commit(sender, memory, 0, 0), ==, 0); // given back
    g_assert_cmpint(mux_client_bulk_commit(sender, memory, 1, 0), ==, -EINVAL);

    // Several at once; the order is that of the commits.
    g_assert_cmpint(mux_client_bulk_reserve(sender, 300, 0, &memory), ==, 0);
    g_assert_cmpint(mux_client_bulk_reserve(sender, 300, 0, &second), ==, 0);
    memset(second, 2, 300);
    memset(memory, 1, 300);
    g_assert_cmpint(mux_client_bulk_commit(sender, second, 300, 0), ==, 0);
    g_assert_cmpint(mux_client_bulk_commit(sender, memory, 10, 0), ==, 0);
    g_assert_cmpint(mux_client_bulk_commit(sender, memory, 10, 0), ==, -EINVAL);
    bulk_release(&pair, bulk_take_piece(&pair, 2, 300));
    bulk_release(&pair, bulk_take_piece(&pair, 1, 10));

    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, 1, 0, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, FAKE_SIZE, 0, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, 64, FAKE_SIZE, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, mux_client_bulk_buffer(receiver), 0, 0, &other), ==,
                    -EACCES);
    g_assert_null(other);
    bulk_tear_down(&pair);
}

// ---- Both at work ----

#define ROUNDS 20000

typedef struct Stream {
    BulkPair *pair;
    gboolean blocking;
} Stream;

static size_t length_of(unsigned i)
{
    return 4 + i * 2654435761u % (i % 50 == 0 ? FAKE_SIZE / 2 : 3000);
}

static void wait_for(int channel, const MuxClientBulk *bulk)
{
    struct pollfd item = {.fd = channel, .events = mux_client_bulk_events(bulk)};

    g_assert_cmpint(poll(&item, 1, 20000), ==, 1);
}

static gpointer send_all(gpointer data)
{
    const Stream *stream = data;
    BulkPair *pair = stream->pair;
    int patience = stream->blocking ? -1 : 0, r;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        void *memory = NULL;
        while ((r = mux_client_bulk_reserve(pair->sender, length_of(i) + i % 100, patience,
                                            &memory)) == MUX_CLIENT_AGAIN)
            wait_for(pair->channel[0], pair->sender);
        g_assert_cmpint(r, ==, 0);
        memset(memory, (int)i, length_of(i));
        memcpy(memory, &i, sizeof(i));
        r = mux_client_bulk_commit(pair->sender, memory, length_of(i),
                                   i % 3 ? MUX_CLIENT_BULK_MORE : 0);
        g_assert_cmpint(r, ==, 0);
    }
    while ((r = mux_client_bulk_end(pair->sender, patience)) == MUX_CLIENT_AGAIN)
        wait_for(pair->channel[0], pair->sender);
    g_assert_cmpint(r, ==, 0);
    g_assert_cmpint(mux_client_bulk_end(pair->sender, 0), ==, 0);
    return NULL;
}

static int take_next(const Stream *stream, const void **ret_memory, size_t *ret_length)
{
    BulkPair *pair = stream->pair;
    int r;

    while ((r = mux_client_bulk_take(pair->receiver, stream->blocking ? -1 : 0, ret_memory,
                                     ret_length)) == MUX_CLIENT_AGAIN)
        wait_for(pair->channel[1], pair->receiver);
    return r;
}

static void receive_all(const Stream *stream)
{
    const void *held[3] = {NULL};
    const void *memory;
    size_t length;
    uint32_t n = 0, number;
    int r;

    while ((r = take_next(stream, &memory, &length)) == 0) {
        memcpy(&number, memory, sizeof(number));
        g_assert_cmpuint(number, ==, n);
        g_assert_cmpuint(length, ==, length_of(n));
        g_assert_cmpint(((const unsigned char *)memory)[length - 1], ==,
                        length > 4 ? n % 256 : number >> 24);
        // Some are held for a while, and go back out of order.
        const void **slot = &held[n * 7 % 3];
        if (n % 50 != 1 && n % 50 != 49) {
            const void *old = *slot;
            *slot = memory;
            memory = old;
        }
        if (memory)
            g_assert_cmpint(mux_client_bulk_release(stream->pair->receiver, memory,
                                                    n % 5 ? 0 : MUX_CLIENT_BULK_MORE),
                            ==, 0);
        for (int i = 0; n % 50 == 49 && i < 3; i++)
            if (held[i])
                bulk_release(stream->pair, held[i]);
        if (n % 50 == 49)
            memset(held, 0, sizeof(held));
        n++;
    }
    g_assert_cmpint(r, ==, MUX_CLIENT_CLOSED);
    g_assert_cmpuint(n, ==, ROUNDS);
    for (int i = 0; i < 3; i++)
        if (held[i])
            bulk_release(stream->pair, held[i]);
}

static void test_stream(gconstpointer blocking)
{
    BulkPair pair;
    Stream stream = {&pair, GPOINTER_TO_INT(blocking)};

    bulk_set_up(&pair, 0, 0);
    GThread *thread = g_thread_new("sender", send_all, &stream);
    receive_all(&stream);
    (void)g_thread_join(thread);
    bulk_tear_down(&pair);
}

// Commits that wait go in one piece.
static void test_batch(void)
{
    BulkPair pair;
    char seen[4096];

    bulk_set_up(&pair, 0, 0);
    for (int i = 0; i < 100; i++)
        bulk_send_piece(&pair, 'x', 10, MUX_CLIENT_BULK_MORE);
    g_assert_cmpint(recv(pair.channel[1], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(mux_client_bulk_events(pair.sender), ==, POLLIN | POLLOUT);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, 0), ==, 0);
    g_assert_cmpint(recv(pair.channel[1], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==,
                    40 + 100 * 16);
    for (int i = 0; i < 100; i++)
        g_assert_cmpint(mux_client_bulk_release(pair.receiver, bulk_take_piece(&pair, 'x', 10),
                                                MUX_CLIENT_BULK_MORE),
                        ==, 0);
    g_assert_cmpint(recv(pair.channel[0], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN); // would wait, so it says
    g_assert_cmpint(recv(pair.channel[0], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==,
                    100 * 16);
    bulk_tear_down(&pair);
}

// A channel that takes nothing: what waits is bounded on both ends, and arrives in the end.
static void test_stuck(void)
{
    BulkPair pair;
    void *memory = NULL;
    int r = 0, n = 0;
    const int small = 1;

    bulk_set_up(&pair, 0, 0);
    for (int i = 0; i < 2; i++)
        g_assert_cmpint(setsockopt(pair.channel[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                        ==, 0);
    while ((r = mux_client_bulk_reserve(pair.sender, 1, 0, &memory)) == 0) {
        g_assert_cmpint(mux_client_bulk_commit(pair.sender, memory, 1, 0), ==, 0);
        n++;
    }
    g_assert_cmpint(r, ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(n, ==, MUX_CLIENT_BULK_PIECES);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, 1), ==, MUX_CLIENT_TIMEOUT);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    for (int i = 0; i < n; i++) {
        const void *piece = NULL;
        size_t length;
        while ((r = mux_client_bulk_take(pair.receiver, 0, &piece, &length)) == MUX_CLIENT_AGAIN)
            g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
        g_assert_cmpint(r, ==, 0);
        bulk_release(&pair, piece);
    }
    while (bulk_take_none(&pair) == MUX_CLIENT_AGAIN)
        g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    while ((r = mux_client_bulk_end(pair.sender, 0)) == MUX_CLIENT_AGAIN)
        (void)mux_client_bulk_flush(pair.receiver, 0);
    g_assert_cmpint(r, ==, 0);
    bulk_tear_down(&pair);
}

// ---- Ends ----

static gpointer end_stream(gpointer data)
{
    g_assert_cmpint(mux_client_bulk_end(data, -1), ==, 0);
    return NULL;
}

// When the receiver knows of the end, the sender knows of all that was released, even if the
// receiver is gone the next moment.
static void test_end_at_once(void)
{
    BulkPair pair;
    const void *piece = NULL;
    const int small = 1, n = 600;
    size_t length;

    bulk_set_up(&pair, 0, 0);
    g_assert_cmpint(setsockopt(pair.channel[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), ==,
                    0);
    for (int i = 0; i < n; i++)
        bulk_send_piece(&pair, 'a', 1, MUX_CLIENT_BULK_MORE);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    for (int i = 0; i < n; i++)
        bulk_release(&pair, bulk_take_piece(&pair, 'a', 1));
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_bulk_events(pair.receiver), ==, POLLOUT);
    GThread *thread = g_thread_new("sender", end_stream, pair.sender);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &piece, &length), ==,
                    MUX_CLIENT_CLOSED);
    mux_client_bulk_free(pair.receiver);
    pair.receiver = NULL;
    bulk_close_end(&pair.channel[1]);
    (void)g_thread_join(thread);
    bulk_tear_down(&pair);
}

static void test_sender_killed(void)
{
    BulkPair pair;
    char half[5] = {0};

    bulk_set_up(&pair, 0, 0);
    bulk_send_piece(&pair, 'a', 100, 0);
    bulk_send_piece(&pair, 'b', 100, 0);
    const void *a = bulk_take_piece(&pair, 'a', 100);
    g_assert_cmpint(send(pair.channel[0], half, sizeof(half), 0), ==, sizeof(half));
    bulk_close_end(&pair.channel[0]);
    bulk_release(&pair, a);
    bulk_release(&pair, bulk_take_piece(&pair, 'b', 100)); // came before
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), ==, "the sender has ended");
    bulk_tear_down(&pair);
}

static void test_receiver_killed(void)
{
    BulkPair pair;
    void *memory = NULL;

    bulk_set_up(&pair, 0, 0);
    bulk_send_piece(&pair, 'a', FAKE_SIZE, 0);
    (void)bulk_take_piece(&pair, 'a', FAKE_SIZE);
    bulk_close_end(&pair.channel[1]);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, -1), ==, MUX_CLIENT_CLOSED);
    bulk_tear_down(&pair);

    bulk_set_up(&pair, 0, 0); // before it has said anything
    bulk_close_end(&pair.channel[1]);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, 0);
    g_assert_cmpint(mux_client_bulk_commit(pair.sender, memory, 1, 0), ==, MUX_CLIENT_CLOSED);
    bulk_tear_down(&pair);
}

// The buffer ends while a piece is held: what was read of it may have been nothing.
static void test_gone(void)
{
    BulkPair pair;
    const void *memory = NULL;
    size_t length;

    bulk_set_up(&pair, 0, 0);
    bulk_send_piece(&pair, 'a', 1, 0);
    bulk_send_piece(&pair, 'b', 1, 0);
    const void *a = bulk_take_piece(&pair, 'a', 1);
    fake_buffer_notice(pair.fake.handles[1], 1, 0, 1); // of no concern
    fake_buffer_say(pair.fake.handles[1], 3, "owner", 5);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, a, 0), ==, MUX_CLIENT_GONE);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, MUX_CLIENT_GONE);
    g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), ==, "owner");
    bulk_tear_down(&pair);

    bulk_set_up(&pair, 0, 0); // while it waits
    bulk_send_piece(&pair, 'a', 1, 0);
    bulk_release(&pair, bulk_take_piece(&pair, 'a', 1));
    bulk_close_end(&pair.fake.handles[1]);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, MUX_CLIENT_GONE);
    bulk_tear_down(&pair);
}

// An orderly end counts, even if the buffer is gone by then.
static void test_end_and_gone(void)
{
    BulkPair pair;

    bulk_set_up(&pair, 0, 0);
    bulk_send_piece(&pair, 'a', 1, 0);
    bulk_release(&pair, bulk_take_piece(&pair, 'a', 1));
    g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    fake_buffer_say(pair.fake.handles[1], 3, "owner", 5);
    g_assert_cmpint(bulk_take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, 0);
    bulk_tear_down(&pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/bulk/order", test_order);
    g_test_add_func("/client/bulk/misuse", test_misuse);
    g_test_add_data_func("/client/bulk/stream/blocking", GINT_TO_POINTER(TRUE), test_stream);
    g_test_add_data_func("/client/bulk/stream/polling", GINT_TO_POINTER(FALSE), test_stream);
    g_test_add_func("/client/bulk/batch", test_batch);
    g_test_add_func("/client/bulk/stuck", test_stuck);
    g_test_add_func("/client/bulk/end-at-once", test_end_at_once);
    g_test_add_func("/client/bulk/sender-killed", test_sender_killed);
    g_test_add_func("/client/bulk/receiver-killed", test_receiver_killed);
    g_test_add_func("/client/bulk/gone", test_gone);
    g_test_add_func("/client/bulk/end-and-gone", test_end_and_gone);
    return g_test_run();
}
