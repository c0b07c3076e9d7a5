// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the daemon tells of a buffer. A record is read exactly up to its end, so what is not taken
// yet is in the kernel and poll() sees it. A type of a later version is passed over.

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"
#include "bytes.h"

// Reads up to `size` bytes in all. 0 when they are there; AGAIN, CLOSED, or a negative errno.
static int fill(int fd, void *to, size_t *length, size_t size)
{
    while (*length < size) {
        ssize_t n = recv(fd, (char *)to + *length, size - *length, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return MUX_CLIENT_CLOSED;
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? MUX_CLIENT_AGAIN : -errno;
        if (n > 0)
            *length += (size_t)n;
    }
    return 0;
}

static int make_room(MuxClientBuffer *buffer, size_t size)
{
    if (buffer->payload_room >= size)
        return 0;
    char *payload = realloc(buffer->payload, size);
    if (!payload)
        return -ENOMEM;
    buffer->payload = payload;
    buffer->payload_room = size;
    return 0;
}

// The next record; 0 when it is whole.
static int read_record(MuxClientBuffer *buffer, uint32_t *ret_type, size_t *ret_length)
{
    int r = fill(buffer->lines.fd, buffer->header, &buffer->header_length, sizeof(buffer->header));

    if (r != 0)
        return r;
    size_t length = (size_t)get_number(buffer->header + 4, 4);
    if (length > MUX_CLIENT_RECORD_MAX)
        return -EMSGSIZE;
    r = make_room(buffer, length);
    if (r == 0)
        r = fill(buffer->lines.fd, buffer->payload, &buffer->payload_length, length);
    if (r != 0)
        return r;
    *ret_type = (uint32_t)get_number(buffer->header, 4);
    *ret_length = length;
    buffer->header_length = buffer->payload_length = 0;
    return 0;
}

static int take_notice(MuxClientBuffer *buffer, size_t length)
{
    const unsigned char *at = (const unsigned char *)buffer->payload;

    if (length != 24)
        return -EPROTO;
    uint64_t offset = get_number(at + 8, 8), size = get_number(at + 16, 8);
    if (offset > buffer->size || size > buffer->size - offset)
        return -EPROTO;
    buffer->news = (MuxClientBufferNews){.kind = MUX_CLIENT_BUFFER_NOTICE,
                                         .sequence = get_number(at, 8),
                                         .offset = offset,
                                         .length = size};
    return 0;
}

static int take_properties(MuxClientBuffer *buffer, size_t length)
{
    MuxClientJson object;

    if (!mux_client_json_check(buffer->payload, length, &object) ||
        !mux_client_json_is_object(object))
        return -EPROTO;
    buffer->news = (MuxClientBufferNews){.kind = MUX_CLIENT_BUFFER_PROPERTIES};
    return mux_client_buffer_box_change(&buffer->box, object);
}

static int take_end(MuxClientBuffer *buffer, size_t length)
{
    if (length >= sizeof(buffer->reason))
        length = sizeof(buffer->reason) - 1;
    if (length > 0)
        memcpy(buffer->reason, buffer->payload, length);
    buffer->reason[length] = '\0';
    if (buffer->reason[0] == '\0')
        (void)strcpy(buffer->reason, "the daemon does not say why");
    return MUX_CLIENT_GONE;
}

// AGAIN also for one of an unknown type.
static int take_record(MuxClientBuffer *buffer)
{
    uint32_t type = 0;
    size_t length = 0;

    int r = read_record(buffer, &type, &length);
    if (r != 0)
        return r;
    switch (type) {
    case MUX_CLIENT_RECORD_NOTICE:
        return take_notice(buffer, length);
    case MUX_CLIENT_RECORD_PROPERTIES:
        return take_properties(buffer, length);
    case MUX_CLIENT_RECORD_GONE:
        return take_end(buffer, length);
    default:
        return MUX_CLIENT_AGAIN;
    }
}

// Whether nothing more can come of it.
static bool is_end(int r)
{
    return r == MUX_CLIENT_GONE || r == MUX_CLIENT_CLOSED ||
           (r < 0 && r != -EPROTO && r != -ENOMEM);
}

int mux_client_buffer_next(MuxClientBuffer *buffer, int timeout_ms,
                           const MuxClientBufferNews **ret_news)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int r = buffer->ended;

    while (r == 0) {
        r = take_record(buffer);
        if (r != MUX_CLIENT_AGAIN)
            break;
        r = mux_client_poll(buffer->lines.fd, POLLIN, deadline);
        if (r == 0 && mux_client_over(deadline))
            r = MUX_CLIENT_TIMEOUT; // something came all the time, and it was nothing
    }
    if (is_end(r))
        buffer->ended = r;
    if (r == 0)
        *ret_news = &buffer->news;
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}
