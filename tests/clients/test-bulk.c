// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Both ends of a bulk stream, on a socket pair instead of a channel; and peers that mean no good.

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake-buffer.h"

typedef struct Pair {
    FakeBuffer fake;
    int channel[2]; // the sender's end, the receiver's
    MuxClientBuffer *buffer;
    MuxClientBulk *sender, *receiver;
} Pair;

static void make_channel(Pair *pair)
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->channel), ==, 0);
}

static void set_up(Pair *pair, uint64_t offset, uint64_t size)
{
    *pair = (Pair){0};
    fake_buffer_start(&pair->fake, 2);
    make_channel(pair);
    pair->buffer = fake_buffer_open(&pair->fake, MUX_CLIENT_BUFFER_WRITE);
    g_assert_cmpint(
        mux_client_bulk_sender(pair->channel[0], pair->buffer, offset, size, &pair->sender), ==, 0);
    g_assert_cmpint(
        mux_client_bulk_receiver(pair->channel[1], pair->fake.fake.path, "host", &pair->receiver),
        ==, 0);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void tear_down(Pair *pair)
{
    mux_client_bulk_free(pair->sender);
    mux_client_bulk_free(pair->receiver);
    mux_client_buffer_free(pair->buffer);
    close_end(&pair->channel[0]);
    close_end(&pair->channel[1]);
    // The daemon is there for two programs.
    for (MuxClientBuffer *buffer = NULL; pair->fake.n < 2;) {
        buffer = fake_buffer_open(&pair->fake, 0);
        mux_client_buffer_free(buffer);
    }
    fake_buffer_end(&pair->fake);
}

static void send_piece(Pair *pair, char fill, size_t length, unsigned flags)
{
    void *memory = NULL;

    g_assert_cmpint(mux_client_bulk_reserve(pair->sender, length, -1, &memory), ==, 0);
    memset(memory, fill, length);
    g_assert_cmpint(mux_client_bulk_commit(pair->sender, memory, length, flags), ==, 0);
}

static const void *take_piece(Pair *pair, char fill, size_t length)
{
    const void *memory = NULL;
    size_t got = 0;

    g_assert_cmpint(mux_client_bulk_take(pair->receiver, -1, &memory, &got), ==, 0);
    g_assert_cmpuint(got, ==, length);
    g_assert_cmpint(*(const char *)memory, ==, fill);
    g_assert_cmpint(((const char *)memory)[length - 1], ==, fill);
    return memory;
}

static void release(Pair *pair, const void *memory)
{
    g_assert_cmpint(mux_client_bulk_release(pair->receiver, memory, 0), ==, 0);
}

static int take_none(Pair *pair)
{
    const void *memory = NULL;
    size_t length = 0;
    int r = mux_client_bulk_take(pair->receiver, 0, &memory, &length);

    g_assert_null(memory);
    return r;
}

static void test_order(void)
{
    Pair pair;
    void *memory = NULL;

    set_up(&pair, 0, 0);
    g_assert_null(mux_client_bulk_buffer(pair.receiver));
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN);
    send_piece(&pair, 'a', 1, 0);
    send_piece(&pair, 'b', FAKE_SIZE / 2, 0);
    const char *a = take_piece(&pair, 'a', 1), *b = take_piece(&pair, 'b', FAKE_SIZE / 2);
    g_assert_nonnull(mux_client_bulk_buffer(pair.receiver));
    g_assert_false(mux_client_buffer_writable(mux_client_bulk_buffer(pair.receiver)));
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN);

    // Full, until something comes back, whichever it is.
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, FAKE_SIZE / 2, 0, &memory), ==,
                    MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, FAKE_SIZE / 2, 1, &memory), ==,
                    MUX_CLIENT_TIMEOUT);
    struct pollfd item = {.fd = pair.channel[0], .events = mux_client_bulk_events(pair.sender)};
    g_assert_cmpint(item.events, ==, POLLIN);
    g_assert_cmpint(poll(&item, 1, 0), ==, 0);
    release(&pair, b);
    g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
    send_piece(&pair, 'c', FAKE_SIZE / 2, 0);
    g_assert_cmpint(*a, ==, 'a');
    const char *c = take_piece(&pair, 'c', FAKE_SIZE / 2);
    release(&pair, a);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, a, 0), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, NULL, 0), ==, -EINVAL);
    release(&pair, c);
    tear_down(&pair);
}

// What one may not call.
static void test_misuse(void)
{
    Pair pair;
    void *memory = NULL, *second = NULL;
    const void *piece = NULL;
    size_t length;
    MuxClientBulk *other = NULL;

    set_up(&pair, 128, 640);
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
    release(&pair, take_piece(&pair, 2, 300));
    release(&pair, take_piece(&pair, 1, 10));

    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, 1, 0, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, FAKE_SIZE, 0, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, pair.buffer, 64, FAKE_SIZE, &other), ==, -EINVAL);
    g_assert_cmpint(mux_client_bulk_sender(0, mux_client_bulk_buffer(receiver), 0, 0, &other), ==,
                    -EACCES);
    g_assert_null(other);
    tear_down(&pair);
}

// ---- Both at work ----

#define ROUNDS 20000

typedef struct Stream {
    Pair *pair;
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
    Pair *pair = stream->pair;
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
    Pair *pair = stream->pair;
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
                release(stream->pair, held[i]);
        if (n % 50 == 49)
            memset(held, 0, sizeof(held));
        n++;
    }
    g_assert_cmpint(r, ==, MUX_CLIENT_CLOSED);
    g_assert_cmpuint(n, ==, ROUNDS);
    for (int i = 0; i < 3; i++)
        if (held[i])
            release(stream->pair, held[i]);
}

static void test_stream(gconstpointer blocking)
{
    Pair pair;
    Stream stream = {&pair, GPOINTER_TO_INT(blocking)};

    set_up(&pair, 0, 0);
    GThread *thread = g_thread_new("sender", send_all, &stream);
    receive_all(&stream);
    (void)g_thread_join(thread);
    tear_down(&pair);
}

// Commits that wait go in one piece.
static void test_batch(void)
{
    Pair pair;
    char seen[4096];

    set_up(&pair, 0, 0);
    for (int i = 0; i < 100; i++)
        send_piece(&pair, 'x', 10, MUX_CLIENT_BULK_MORE);
    g_assert_cmpint(recv(pair.channel[1], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(mux_client_bulk_events(pair.sender), ==, POLLIN | POLLOUT);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, 0), ==, 0);
    g_assert_cmpint(recv(pair.channel[1], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==,
                    40 + 100 * 16);
    for (int i = 0; i < 100; i++)
        g_assert_cmpint(mux_client_bulk_release(pair.receiver, take_piece(&pair, 'x', 10),
                                                MUX_CLIENT_BULK_MORE),
                        ==, 0);
    g_assert_cmpint(recv(pair.channel[0], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN); // would wait, so it says
    g_assert_cmpint(recv(pair.channel[0], seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT), ==,
                    100 * 16);
    tear_down(&pair);
}

// A channel that takes nothing: what waits is bounded on both ends, and arrives in the end.
static void test_stuck(void)
{
    Pair pair;
    void *memory = NULL;
    int r = 0, n = 0;
    const int small = 1;

    set_up(&pair, 0, 0);
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
        release(&pair, piece);
    }
    while (take_none(&pair) == MUX_CLIENT_AGAIN)
        g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    while ((r = mux_client_bulk_end(pair.sender, 0)) == MUX_CLIENT_AGAIN)
        (void)mux_client_bulk_flush(pair.receiver, 0);
    g_assert_cmpint(r, ==, 0);
    tear_down(&pair);
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
    Pair pair;
    const void *piece = NULL;
    const int small = 1, n = 600;
    size_t length;

    set_up(&pair, 0, 0);
    g_assert_cmpint(setsockopt(pair.channel[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), ==,
                    0);
    for (int i = 0; i < n; i++)
        send_piece(&pair, 'a', 1, MUX_CLIENT_BULK_MORE);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    for (int i = 0; i < n; i++)
        release(&pair, take_piece(&pair, 'a', 1));
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_bulk_events(pair.receiver), ==, POLLOUT);
    GThread *thread = g_thread_new("sender", end_stream, pair.sender);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &piece, &length), ==,
                    MUX_CLIENT_CLOSED);
    mux_client_bulk_free(pair.receiver);
    pair.receiver = NULL;
    close_end(&pair.channel[1]);
    (void)g_thread_join(thread);
    tear_down(&pair);
}

static void test_sender_killed(void)
{
    Pair pair;
    char half[5] = {0};

    set_up(&pair, 0, 0);
    send_piece(&pair, 'a', 100, 0);
    send_piece(&pair, 'b', 100, 0);
    const void *a = take_piece(&pair, 'a', 100);
    g_assert_cmpint(send(pair.channel[0], half, sizeof(half), 0), ==, sizeof(half));
    close_end(&pair.channel[0]);
    release(&pair, a);
    release(&pair, take_piece(&pair, 'b', 100)); // came before
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), ==, "the sender has ended");
    tear_down(&pair);
}

static void test_receiver_killed(void)
{
    Pair pair;
    void *memory = NULL;

    set_up(&pair, 0, 0);
    send_piece(&pair, 'a', FAKE_SIZE, 0);
    (void)take_piece(&pair, 'a', FAKE_SIZE);
    close_end(&pair.channel[1]);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_flush(pair.sender, -1), ==, MUX_CLIENT_CLOSED);
    tear_down(&pair);

    set_up(&pair, 0, 0); // before it has said anything
    close_end(&pair.channel[1]);
    g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 1, -1, &memory), ==, 0);
    g_assert_cmpint(mux_client_bulk_commit(pair.sender, memory, 1, 0), ==, MUX_CLIENT_CLOSED);
    tear_down(&pair);
}

// The buffer ends while a piece is held: what was read of it may have been nothing.
static void test_gone(void)
{
    Pair pair;
    const void *memory = NULL;
    size_t length;

    set_up(&pair, 0, 0);
    send_piece(&pair, 'a', 1, 0);
    send_piece(&pair, 'b', 1, 0);
    const void *a = take_piece(&pair, 'a', 1);
    fake_buffer_notice(pair.fake.handles[1], 1, 0, 1); // of no concern
    fake_buffer_say(pair.fake.handles[1], 3, "owner", 5);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, a, 0), ==, MUX_CLIENT_GONE);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, MUX_CLIENT_GONE);
    g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), ==, "owner");
    tear_down(&pair);

    set_up(&pair, 0, 0); // while it waits
    send_piece(&pair, 'a', 1, 0);
    release(&pair, take_piece(&pair, 'a', 1));
    close_end(&pair.fake.handles[1]);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, MUX_CLIENT_GONE);
    tear_down(&pair);
}

// An orderly end counts, even if the buffer is gone by then.
static void test_end_and_gone(void)
{
    Pair pair;

    set_up(&pair, 0, 0);
    send_piece(&pair, 'a', 1, 0);
    release(&pair, take_piece(&pair, 'a', 1));
    g_assert_cmpint(mux_client_bulk_end(pair.sender, 0), ==, MUX_CLIENT_AGAIN);
    fake_buffer_say(pair.fake.handles[1], 3, "owner", 5);
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, 0);
    tear_down(&pair);
}

// ---- A peer that means no good ----

static void put(unsigned char *to, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

static void say_hello(int fd, const char *magic, uint64_t id, uint64_t offset, uint64_t size,
                      uint64_t length, const char *name)
{
    unsigned char hello[36 + 128];
    size_t n = strlen(name);

    memcpy(hello, magic, 8);
    put(hello + 8, id, 8);
    put(hello + 16, offset, 8);
    put(hello + 24, size, 8);
    put(hello + 32, length, 4);
    memcpy(hello + 36, name, n);
    g_assert_cmpint(send(fd, hello, 36 + n, 0), ==, 36 + n);
}

static void say_piece(int fd, uint64_t offset, uint64_t length)
{
    unsigned char message[16];

    put(message, offset, 8);
    put(message + 8, length, 8);
    g_assert_cmpint(send(fd, message, sizeof(message), 0), ==, sizeof(message));
}

#define ID 0x0123456789abcdefu

static void test_bad_hello(void)
{
    const struct {
        const char *magic;
        uint64_t id, offset, size, length;
        const char *name;
        gboolean opened; // whether the buffer is looked at
    } cases[] = {
        {"muxbulk2", ID, 0, 64, 4, "clip", FALSE},
        {"GET / HT", ID, 0, 64, 4, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, 0, "", FALSE},
        {"muxbulk1", ID, 0, 64, 129, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, UINT32_MAX, "clip", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a/bc", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a\"bc", FALSE},
        {"muxbulk1", ID, 0, 64, 4, "a\nbc", FALSE},
        {"muxbulk1", 0, 0, 64, 4, "clip", TRUE},
        {"muxbulk1", ID + 1, 0, 64, 4, "clip", TRUE},
        {"muxbulk1", ID, 0, 0, 4, "clip", TRUE},
        {"muxbulk1", ID, 0, FAKE_SIZE + 1, 4, "clip", TRUE},
        {"muxbulk1", ID, 64, FAKE_SIZE, 4, "clip", TRUE},
        {"muxbulk1", ID, UINT64_MAX, 2, 4, "clip", TRUE},
        {"muxbulk1", ID, 2, UINT64_MAX, 4, "clip", TRUE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Pair pair;
        set_up(&pair, 0, 0);
        say_hello(pair.channel[0], cases[i].magic, cases[i].id, cases[i].offset, cases[i].size,
                  cases[i].length, cases[i].name);
        g_assert_cmpint(take_none(&pair), ==, -EPROTO);
        g_assert_cmpint(take_none(&pair), ==, -EPROTO);
        g_assert_cmpstr(mux_client_bulk_reason(pair.receiver), !=, "");
        g_assert_cmpint(pair.fake.n, ==, cases[i].opened ? 2 : 1);
        tear_down(&pair);
    }
}

// Good ones beside bad ones: those before are delivered, and after a bad one nothing is.
static void test_bad_pieces(void)
{
    const uint64_t most = UINT64_MAX;
    const struct {
        uint64_t offset, length;
    } cases[] = {
        {0, 0},         {100, 0},           {100, 101},   {101, 99},   {FAKE_SIZE, 1},
        {most, 1},      {1, most},          {most, most}, {200, most}, {most - 4, 8},
        {0, FAKE_SIZE}, {FAKE_SIZE - 1, 2}, {0, 8},       {7, 1},      {0, 1},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Pair pair;
        const void *memory = NULL;
        size_t length = 0;
        set_up(&pair, 0, 0);
        memset(mux_client_buffer_memory(pair.buffer), 'x', FAKE_SIZE);
        say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
        say_piece(pair.channel[0], 0, 8);
        say_piece(pair.channel[0], 200, 8);
        say_piece(pair.channel[0], FAKE_SIZE - 1, 1);
        say_piece(pair.channel[0], cases[i].offset, cases[i].length);
        say_piece(pair.channel[0], 300, 8);
        (void)take_piece(&pair, 'x', 8);
        (void)take_piece(&pair, 'x', 8);
        (void)take_piece(&pair, 'x', 1);
        int r = mux_client_bulk_take(pair.receiver, 0, &memory, &length);
        g_assert_cmpint(r, ==, cases[i].offset == 101 ? 0 : -EPROTO);
        if (r != 0)
            g_assert_cmpint(take_none(&pair), ==, -EPROTO);
        tear_down(&pair);
    }
}

// The same place again is fine once it was released; more than there may be are not.
static void test_flood(void)
{
    Pair pair;
    const void *memory = NULL;
    size_t length = 0;
    int r = 0, n = 0;

    set_up(&pair, 0, 0);
    say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
    for (uint64_t i = 0; r == 0; i++, n++) {
        say_piece(pair.channel[0], i, 1);
        r = mux_client_bulk_take(pair.receiver, 0, &memory, &length);
    }
    g_assert_cmpint(r, ==, -EPROTO);
    g_assert_cmpint(n, ==, MUX_CLIENT_BULK_PIECES + 1);
    tear_down(&pair);

    // He uses again what he does not want to hear that he may: he gets so far and no further.
    set_up(&pair, 0, 0);
    say_hello(pair.channel[0], "muxbulk1", ID, 0, FAKE_SIZE, 4, "clip");
    for (n = 0; n < 100000; n++) {
        say_piece(pair.channel[0], 0, 1);
        memory = NULL;
        if (mux_client_bulk_take(pair.receiver, 0, &memory, &length) == MUX_CLIENT_AGAIN)
            break;
        release(&pair, memory);
    }
    g_assert_cmpint(n, <, 100000);
    g_assert_cmpint(mux_client_bulk_events(pair.receiver), ==, POLLOUT);
    close_end(&pair.channel[0]);
    g_assert_cmpint(mux_client_bulk_take(pair.receiver, -1, &memory, &length), ==, 0);
    g_assert_cmpint(mux_client_bulk_release(pair.receiver, memory, 0), ==, 0);
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_CLOSED);
    tear_down(&pair);
}

static void test_bad_release(void)
{
    const struct {
        uint64_t offset, length;
    } cases[] = {{0, 0}, {0, 99}, {0, 101}, {1, 100}, {64, 1}, {128, 50}, {UINT64_MAX, 100}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Pair pair;
        void *memory = NULL, *reserved = NULL;
        set_up(&pair, 0, 256);
        send_piece(&pair, 'a', 100, 0);
        g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 50, -1, &reserved), ==, 0);
        say_piece(pair.channel[1], cases[i].offset, cases[i].length);
        g_assert_cmpint(mux_client_bulk_reserve(pair.sender, 200, -1, &memory), ==, -EPROTO);
        g_assert_cmpint(mux_client_bulk_commit(pair.sender, reserved, 1, 0), ==, -EPROTO);
        g_assert_cmpint(mux_client_bulk_end(pair.sender, -1), ==, -EPROTO);
        g_assert_null(memory);
        tear_down(&pair);
    }
}

// One byte at a time.
static void test_dribble(void)
{
    Pair pair;
    unsigned char all[40 + 16] = "muxbulk1";

    set_up(&pair, 0, 0);
    memset(mux_client_buffer_memory(pair.buffer), 'x', FAKE_SIZE);
    put(all + 8, ID, 8);
    put(all + 24, FAKE_SIZE, 8);
    put(all + 32, 4, 4);
    memcpy(all + 36, "clip", 4);
    put(all + 40, 10, 8);
    put(all + 48, 20, 8);
    for (size_t i = 0; i < sizeof(all); i++) {
        g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN);
        g_assert_cmpint(send(pair.channel[0], all + i, 1, 0), ==, 1);
    }
    release(&pair, take_piece(&pair, 'x', 20));
    tear_down(&pair);
}

// A good stream with some bytes changed: whatever is given out is inside.
static void test_changed(void)
{
    for (int round = 0; round < 300; round++) {
        Pair pair;
        unsigned char all[40 + 16 * 16] = "muxbulk1";
        const void *memory = NULL;
        size_t length = 0;
        unsigned sum = 0;

        set_up(&pair, 0, 0);
        put(all + 8, ID, 8);
        put(all + 24, FAKE_SIZE, 8);
        put(all + 32, 4, 4);
        memcpy(all + 36, "clip", 4);
        for (unsigned i = 0; i < 16; i++) {
            put(all + 40 + 16 * i, i * (FAKE_SIZE / 16), 8);
            put(all + 48 + 16 * i, FAKE_SIZE / 16, 8);
        }
        for (int i = 0; i < 3; i++)
            all[g_test_rand_int_range(i ? 36 : 0, sizeof(all))] ^=
                (unsigned char)(1 << g_test_rand_int_range(0, 8));
        g_assert_cmpint(send(pair.channel[0], all, sizeof(all), 0), ==, sizeof(all));
        while (mux_client_bulk_take(pair.receiver, 0, &memory, &length) == 0) {
            for (size_t i = 0; i < length; i += 512)
                sum += ((const unsigned char *)memory)[i];
            sum += ((const unsigned char *)memory)[length - 1];
            if (g_test_rand_bit())
                release(&pair, memory);
        }
        g_assert_cmpuint(sum, ==, 0);
        tear_down(&pair);
    }
}

// Descriptors that nobody asked for.
static void test_descriptors(void)
{
    Pair pair;

    set_up(&pair, 0, 0);
    int fds[3] = {pair.fake.memory, pair.fake.memory, pair.channel[0]};
    send_piece(&pair, 'a', 1, 0);
    const void *a = take_piece(&pair, 'a', 1);
    guint before = fake_descriptors();
    fake_pass(pair.channel[0], "half of", fds, 3);
    g_assert_cmpint(take_none(&pair), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpuint(fake_descriptors(), ==, before);
    release(&pair, a);
    tear_down(&pair);
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
    g_test_add_func("/client/bulk/bad-hello", test_bad_hello);
    g_test_add_func("/client/bulk/bad-pieces", test_bad_pieces);
    g_test_add_func("/client/bulk/flood", test_flood);
    g_test_add_func("/client/bulk/bad-release", test_bad_release);
    g_test_add_func("/client/bulk/changed", test_changed);
    g_test_add_func("/client/bulk/descriptors", test_descriptors);
    g_test_add_func("/client/bulk/dribble", test_dribble);
    return g_test_run();
}
