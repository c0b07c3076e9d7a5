// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What both ends of a bulk stream do: sending messages, several at once if they wait; reading them
// one by one, so that poll() sees what was not taken; waiting.

#include "bulk.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bytes.h"

int mux_client_bulk_new(int channel, bool sender, MuxClientBulk **ret_bulk)
{
    MuxClientBulk *bulk = calloc(1, sizeof(*bulk));

    if (!bulk)
        return -ENOMEM;
    bulk->channel = channel;
    bulk->sender = sender;
    *ret_bulk = bulk;
    return 0;
}

void mux_client_bulk_free(MuxClientBulk *bulk)
{
    if (!bulk)
        return;
    if (!bulk->sender)
        mux_client_buffer_free(bulk->buffer);
    free(bulk->socket);
    free(bulk->link);
    free(bulk);
}

MuxClientBuffer *mux_client_bulk_buffer(const MuxClientBulk *bulk)
{
    return bulk->buffer;
}

const char *mux_client_bulk_reason(const MuxClientBulk *bulk)
{
    return bulk->reason;
}

int mux_client_bulk_fail(MuxClientBulk *bulk, int result, const char *reason)
{
    bulk->result = result;
    strncpy(bulk->reason, reason, sizeof(bulk->reason) - 1);
    return result;
}

bool mux_client_bulk_put(MuxClientBulk *bulk, const void *bytes, size_t size)
{
    if (sizeof(bulk->unsent) - bulk->unsent_length < size)
        return false;
    if (sizeof(bulk->unsent) - bulk->unsent_from - bulk->unsent_length < size) {
        memmove(bulk->unsent, bulk->unsent + bulk->unsent_from, bulk->unsent_length);
        bulk->unsent_from = 0;
    }
    memcpy(bulk->unsent + bulk->unsent_from + bulk->unsent_length, bytes, size);
    bulk->unsent_length += size;
    return true;
}

bool mux_client_bulk_put_piece(MuxClientBulk *bulk, uint64_t offset, uint64_t length)
{
    unsigned char message[MUX_CLIENT_BULK_MESSAGE];

    put_number(message, 8, offset);
    put_number(message + 8, 8, length);
    return mux_client_bulk_put(bulk, message, sizeof(message));
}

bool mux_client_bulk_is_full(const MuxClientBulk *bulk)
{
    return bulk->unsent_length >
           sizeof(bulk->unsent) - (bulk->pieces.count + 1) * MUX_CLIENT_BULK_MESSAGE;
}

static void end_when_done(MuxClientBulk *bulk)
{
    bool done = bulk->ending && (bulk->sender || bulk->pieces.count == 0);

    if (done && !bulk->ended) {
        (void)shutdown(bulk->channel, SHUT_WR);
        bulk->ended = true;
    }
}

int mux_client_bulk_push(MuxClientBulk *bulk)
{
    // The piece is there before it is said to be; other processors, and another machine, look.
    atomic_thread_fence(memory_order_seq_cst);
    while (bulk->unsent_length > 0) {
        ssize_t n = send(bulk->channel, bulk->unsent + bulk->unsent_from, bulk->unsent_length,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bulk->unsent_from += (size_t)n;
            bulk->unsent_length -= (size_t)n;
        } else if (errno == EAGAIN) {
            return MUX_CLIENT_AGAIN;
        } else if (errno != EINTR) {
            return errno == EPIPE || errno == ECONNRESET ? MUX_CLIENT_CLOSED : -errno;
        }
    }
    bulk->unsent_from = 0;
    end_when_done(bulk);
    return 0;
}

int mux_client_bulk_read(MuxClientBulk *bulk, size_t size)
{
    while (bulk->read_length < size) {
        ssize_t n = recv(bulk->channel, bulk->read + bulk->read_length, size - bulk->read_length,
                         MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return MUX_CLIENT_CLOSED;
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? MUX_CLIENT_AGAIN : -errno;
        if (n > 0)
            bulk->read_length += (size_t)n;
    }
    return 0;
}

int mux_client_bulk_read_piece(MuxClientBulk *bulk, uint64_t *ret_offset, uint64_t *ret_length)
{
    int r = mux_client_bulk_read(bulk, MUX_CLIENT_BULK_MESSAGE);

    if (r != 0)
        return r;
    atomic_thread_fence(memory_order_seq_cst);
    bulk->read_length = 0;
    *ret_offset = get_number(bulk->read, 8);
    *ret_length = get_number(bulk->read + 8, 8);
    return 0;
}

short mux_client_bulk_events(const MuxClientBulk *bulk)
{
    if (!bulk->sender && (bulk->ending || mux_client_bulk_is_full(bulk)))
        return POLLOUT; // there may be something to read, which is not to be read now
    return bulk->unsent_length > 0 ? POLLIN | POLLOUT : POLLIN;
}

int mux_client_bulk_wait(MuxClientBulk *bulk, MuxClientDeadline deadline)
{
    struct pollfd items[2] = {
        {.fd = bulk->channel, .events = mux_client_bulk_events(bulk)},
        {.fd = -1, .events = POLLIN}, // ignored, unless
    };

    if (!bulk->sender && bulk->buffer && !bulk->ending)
        items[1].fd = mux_client_buffer_fd(bulk->buffer);
    if (mux_client_over(deadline))
        return MUX_CLIENT_TIMEOUT; // even if something comes all the time
    return mux_client_poll_all(items, 2, deadline);
}

int mux_client_bulk_flush(MuxClientBulk *bulk, int timeout_ms)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    // A receiver has something to say even when the sender has ended.
    int r = bulk->result == MUX_CLIENT_CLOSED && !bulk->sender ? 0 : bulk->result;

    while (r == 0) {
        r = mux_client_bulk_push(bulk);
        if (r != MUX_CLIENT_AGAIN)
            return r;
        r = MUX_CLIENT_TIMEOUT;
        if (!mux_client_over(deadline))
            r = mux_client_poll(bulk->channel, POLLOUT, deadline);
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}
