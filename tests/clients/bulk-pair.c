// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "bulk-pair.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void make_channel(BulkPair *pair)
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->channel), ==, 0);
}

void bulk_set_up(BulkPair *pair, uint64_t offset, uint64_t size)
{
    *pair = (BulkPair){0};
    fake_buffer_start(&pair->fake, 2);
    make_channel(pair);
    pair->buffer = fake_buffer_open(&pair->fake, MUX_CLIENT_BUFFER_WRITE);
    g_assert_cmpint(
        mux_client_bulk_sender(pair->channel[0], pair->buffer, offset, size, &pair->sender), ==, 0);
    g_assert_cmpint(
        mux_client_bulk_receiver(pair->channel[1], pair->fake.fake.path, "host", &pair->receiver),
        ==, 0);
}

void bulk_close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void bulk_tear_down(BulkPair *pair)
{
    mux_client_bulk_free(pair->sender);
    mux_client_bulk_free(pair->receiver);
    mux_client_buffer_free(pair->buffer);
    bulk_close_end(&pair->channel[0]);
    bulk_close_end(&pair->channel[1]);
    // The daemon is there for two programs.
    for (MuxClientBuffer *buffer = NULL; pair->fake.n < 2;) {
        buffer = fake_buffer_open(&pair->fake, 0);
        mux_client_buffer_free(buffer);
    }
    fake_buffer_end(&pair->fake);
}

void bulk_send_piece(BulkPair *pair, char fill, size_t length, unsigned flags)
{
    void *memory = NULL;

    g_assert_cmpint(mux_client_bulk_reserve(pair->sender, length, -1, &memory), ==, 0);
    memset(memory, fill, length);
    g_assert_cmpint(mux_client_bulk_commit(pair->sender, memory, length, flags), ==, 0);
}

const void *bulk_take_piece(BulkPair *pair, char fill, size_t length)
{
    const void *memory = NULL;
    size_t got = 0;

    g_assert_cmpint(mux_client_bulk_take(pair->receiver, -1, &memory, &got), ==, 0);
    g_assert_cmpuint(got, ==, length);
    g_assert_cmpint(*(const char *)memory, ==, fill);
    g_assert_cmpint(((const char *)memory)[length - 1], ==, fill);
    return memory;
}

void bulk_release(BulkPair *pair, const void *memory)
{
    g_assert_cmpint(mux_client_bulk_release(pair->receiver, memory, 0), ==, 0);
}

int bulk_take_none(BulkPair *pair)
{
    const void *memory = NULL;
    size_t length = 0;
    int r = mux_client_bulk_take(pair->receiver, 0, &memory, &length);

    g_assert_null(memory);
    return r;
}
