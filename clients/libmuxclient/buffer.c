// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a buffer is, and what is told the daemon of it. A record is sent as a whole or not at all,
// but for one that the connection took in part: its rest is kept, and goes first with what is
// called next.

#include "buffer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bytes.h"
#include "properties.h"
#include "text.h"

void *mux_client_buffer_memory(const MuxClientBuffer *buffer)
{
    return buffer->memory;
}

size_t mux_client_buffer_size(const MuxClientBuffer *buffer)
{
    return buffer->size;
}

bool mux_client_buffer_writable(const MuxClientBuffer *buffer)
{
    return buffer->writable;
}

bool mux_client_buffer_can_shrink(const MuxClientBuffer *buffer)
{
    return buffer->can_shrink;
}

const MuxClientBufferInfo *mux_client_buffer_info(const MuxClientBuffer *buffer)
{
    return &buffer->box.info;
}

int mux_client_buffer_fd(const MuxClientBuffer *buffer)
{
    return buffer->lines.fd;
}

const char *mux_client_buffer_reason(const MuxClientBuffer *buffer)
{
    return buffer->reason;
}

// Returns how many bytes were sent, or MUX_CLIENT_TIMEOUT or CLOSED in *ret_result with 0, or a
// negative errno there.
static size_t send_some(int fd, const void *bytes, size_t size, MuxClientDeadline deadline,
                        int *ret_result)
{
    for (;;) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        int r = 0;
        if (n >= 0)
            return (size_t)n;
        if (errno == EAGAIN)
            r = mux_client_poll(fd, POLLOUT, deadline);
        else if (errno != EINTR)
            r = errno == EPIPE || errno == ECONNRESET ? MUX_CLIENT_CLOSED : -errno;
        if (r != 0) {
            *ret_result = r;
            return 0;
        }
    }
}

static int send_rest(MuxClientBuffer *buffer, MuxClientDeadline deadline)
{
    int r = 0;

    while (buffer->unsent_length > 0) {
        size_t n = send_some(buffer->lines.fd, buffer->unsent + buffer->unsent_from,
                             buffer->unsent_length, deadline, &r);
        if (n == 0)
            return r;
        buffer->unsent_from += n;
        buffer->unsent_length -= n;
    }
    free(buffer->unsent);
    buffer->unsent = NULL;
    return 0;
}

// Takes over the record.
static int send_record(MuxClientBuffer *buffer, char *record, size_t size, int timeout_ms)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int r = send_rest(buffer, deadline);
    size_t n = 0;

    if (r == 0)
        n = send_some(buffer->lines.fd, record, size, deadline, &r);
    if (n == 0 || n == size) {
        free(record);
    } else {
        buffer->unsent = record;
        buffer->unsent_from = n;
        buffer->unsent_length = size - n;
        r = send_rest(buffer, deadline);
        if (r == MUX_CLIENT_TIMEOUT)
            r = 0; // it will be told
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}

static char *record_new(uint32_t type, size_t length)
{
    unsigned char *record = malloc(MUX_CLIENT_RECORD_HEADER + length);

    if (record) {
        put_number(record, 4, type);
        put_number(record + 4, 4, length);
    }
    return (char *)record;
}

static int check_writable(const MuxClientBuffer *buffer)
{
    if (buffer->ended != 0)
        return buffer->ended;
    return buffer->writable ? 0 : -EACCES;
}

int mux_client_buffer_notify(MuxClientBuffer *buffer, uint64_t offset, uint64_t length,
                             int timeout_ms)
{
    int r = check_writable(buffer);

    if (r != 0)
        return r;
    if (offset > buffer->size || length > buffer->size - offset)
        return -EINVAL;
    char *record = record_new(MUX_CLIENT_RECORD_NOTIFY, 16);
    if (!record)
        return -ENOMEM;
    put_number((unsigned char *)record + MUX_CLIENT_RECORD_HEADER, 8, offset);
    put_number((unsigned char *)record + MUX_CLIENT_RECORD_HEADER + 8, 8, length);
    return send_record(buffer, record, MUX_CLIENT_RECORD_HEADER + 16, timeout_ms);
}

int mux_client_buffer_set(MuxClientBuffer *buffer, const MuxClientProperty *properties,
                          size_t n_properties, int timeout_ms)
{
    MuxClientText text = {0};
    char *record = NULL;
    int r = check_writable(buffer);

    if (r != 0)
        return r;
    mux_client_properties_object(&text, properties, n_properties);
    size_t length = text.length;
    if (!text.failed && length <= MUX_CLIENT_RECORD_MAX)
        record = record_new(MUX_CLIENT_RECORD_SET, length);
    if (record)
        memcpy(record + MUX_CLIENT_RECORD_HEADER, text.bytes, length);
    r = !text.failed && length > MUX_CLIENT_RECORD_MAX ? -EMSGSIZE : -ENOMEM;
    mux_client_text_deinit(&text);
    return record ? send_record(buffer, record, MUX_CLIENT_RECORD_HEADER + length, timeout_ms) : r;
}
