// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A handle's socket, and what is told on it. A record is u32 type, u32 length, payload, all
// little-endian.
//
// What a program does not read is not kept: of a notice, the properties and the end, it is known
// that they are to be told, and the record is made when there is room.
//
// It is freed in its own socket's function and by its timer, nowhere else; so whoever tells it
// something may go on using it.

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handle-private.h"
#include "proto/bytes.h"
#include "relay/pass.h"

#define HEADER      MUX_HANDLE_HEADER
#define REQUEST_MAX 65536
#define NOTICE_SIZE 24

enum { TO_APP_NOTICE = 1, TO_APP_PROPERTIES = 2, TO_APP_GONE = 3 };

// --- writing

static bool has_room(const MuxHandle *handle)
{
    return handle->watch.ready & EPOLLOUT;
}

// A failure shows as a hang-up, which ends the handle.
static bool wrote(MuxHandle *handle, ssize_t n)
{
    if (n > 0)
        return true;
    if (errno != EAGAIN && errno != EINTR)
        (void)shutdown(handle->watch.fd, SHUT_RDWR);
    mux_watch_drained(&handle->watch, EPOLLOUT);
    return false;
}

static void passed(MuxHandle *handle)
{
    close(handle->pass);
    handle->pass = -1;
}

static void write_out(MuxHandle *handle)
{
    GByteArray *out = handle->out;
    bool passes = handle->pass >= 0 && handle->pass_at == 0;
    size_t size = handle->pass >= 0 && !passes ? handle->pass_at : out->len;
    const struct iovec piece = {out->data, size};

    ssize_t n = passes ? mux_pass(handle->watch.fd, &piece, 1, handle->pass)
                       : send(handle->watch.fd, out->data, size, MSG_NOSIGNAL);
    if (!wrote(handle, n))
        return;
    if (passes)
        passed(handle);
    handle->pass_at -= MIN(handle->pass_at, (guint)n);
    g_byte_array_remove_range(out, 0, (guint)n);
}

static void write_notice(MuxHandle *handle)
{
    uint8_t record[HEADER + NOTICE_SIZE];

    mux_put32(record, TO_APP_NOTICE);
    mux_put32(record + 4, NOTICE_SIZE);
    mux_put64(record + HEADER, handle->buffer->sequence);
    mux_put64(record + HEADER + 8, handle->from);
    mux_put64(record + HEADER + 16, handle->to - handle->from);
    ssize_t n = send(handle->watch.fd, record, sizeof(record), MSG_NOSIGNAL);
    if (!wrote(handle, n))
        return;
    handle->noticed = false;
    g_byte_array_append(handle->out, record + n, (guint)(sizeof(record) - (size_t)n));
}

static void put_text(MuxHandle *handle, uint32_t type, const char *text)
{
    uint8_t header[HEADER];
    size_t length = strlen(text);

    mux_put32(header, type);
    mux_put32(header + 4, (uint32_t)length);
    g_byte_array_append(handle->out, header, HEADER);
    g_byte_array_append(handle->out, (const guint8 *)text, (guint)length);
}

// False when there is nothing more to be told.
static bool put_record(MuxHandle *handle)
{
    if (handle->properties) {
        handle->properties = false;
        put_text(handle, TO_APP_PROPERTIES,
                 json_object_to_json_string_ext(handle->buffer->properties,
                                                JSON_C_TO_STRING_PLAIN |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
        return true;
    }
    if (!handle->reason)
        return false;
    put_text(handle, TO_APP_GONE, handle->reason);
    handle->reason = NULL;
    return true;
}

void mux_handle_flush(MuxHandle *handle)
{
    while (has_room(handle)) {
        if (handle->out->len > 0)
            write_out(handle);
        else if (handle->noticed)
            write_notice(handle);
        else if (!put_record(handle))
            break;
    }
    mux_handle_want(handle);
}

// --- what its buffer says

MuxHandle *mux_handle_of(MuxList *node)
{
    return mux_container(node, MuxHandle, member);
}

MuxList *mux_handle_node(MuxHandle *handle)
{
    return &handle->member;
}

void mux_handle_notice(MuxHandle *handle, uint64_t offset, uint64_t length)
{
    if (handle->state != MUX_HANDLE_OPEN)
        return;
    handle->from = handle->noticed ? MIN(handle->from, offset) : offset;
    handle->to = handle->noticed ? MAX(handle->to, offset + length) : offset + length;
    handle->noticed = true;
    mux_handle_flush(handle);
}

void mux_handle_properties(MuxHandle *handle)
{
    if (handle->state != MUX_HANDLE_OPEN)
        return;
    handle->properties = true;
    mux_handle_flush(handle);
}

void mux_handle_gone(MuxHandle *handle, const char *reason)
{
    if (handle->state != MUX_HANDLE_OPEN)
        return;
    mux_handle_enter(handle, MUX_HANDLE_GONE);
    handle->noticed = handle->properties = false;
    handle->reason = reason;
    mux_handle_flush(handle);
}

void mux_handle_orphan(MuxHandle *handle)
{
    mux_buffer_leave(handle->buffer, handle);
    handle->buffer = NULL;
}

// --- reading

static bool take_line(MuxHandle *handle, const uint8_t *bytes, size_t size)
{
    g_byte_array_append(handle->in, bytes, (guint)size);
    const guint8 *end = memchr(handle->in->data, '\n', handle->in->len);
    if (!end)
        return handle->in->len < REQUEST_MAX;
    size_t length = (size_t)(end - handle->in->data);
    g_autofree char *line = g_strndup((const char *)handle->in->data, length);
    g_byte_array_remove_range(handle->in, 0, (guint)length + 1);
    mux_handle_request(handle, line, length);
    return true;
}

// Whether that read shows that the socket is empty: neither its end is behind it, nor did it stop
// short at descriptors.
static bool emptied(const MuxHandle *handle, const struct msghdr *message, size_t n)
{
    return n < message->msg_iov->iov_len && !(message->msg_flags & MSG_CTRUNC) &&
           !(handle->watch.ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

// Descriptors that come with it are not taken, so the kernel closes them. False when the handle has
// come to its end.
static bool read_socket(MuxHandle *handle)
{
    uint8_t bytes[4096];
    struct iovec piece = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t n = recvmsg(handle->watch.fd, &message, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        mux_watch_drained(&handle->watch, EPOLLIN);
        return true;
    }
    if (n == 0 && !(handle->watch.ready & EPOLLHUP) && handle->state != MUX_HANDLE_ASKING) {
        handle->eof = true; // it may still read
        return true;
    }
    if (n <= 0)
        return false;
    if (emptied(handle, &message, (size_t)n))
        mux_watch_drained(&handle->watch, EPOLLIN);
    return handle->state == MUX_HANDLE_ASKING ? take_line(handle, bytes, (size_t)n)
                                              : mux_handle_take(handle, bytes, (size_t)n);
}

static bool reads(const MuxHandle *handle)
{
    return !handle->eof && handle->state != MUX_HANDLE_WAITING &&
           handle->state != MUX_HANDLE_ENDING;
}

static bool writes(const MuxHandle *handle)
{
    return handle->out->len > 0 || handle->noticed || handle->properties || handle->reason ||
           handle->state == MUX_HANDLE_ENDING;
}

void mux_handle_want(MuxHandle *handle)
{
    mux_watch_want(&handle->watch, EPOLLHUP | (reads(handle) ? EPOLLIN | EPOLLRDHUP : 0) |
                                       (writes(handle) ? EPOLLOUT : 0));
}

// False when it has come to its end.
static bool step(MuxHandle *handle)
{
    uint32_t ready = handle->watch.ready;

    if (reads(handle) && ready & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) && !read_socket(handle))
        return false;
    // Records that came right behind the line.
    if (handle->state == MUX_HANDLE_OPEN && handle->in->len > 0 &&
        !mux_handle_take(handle, NULL, 0))
        return false;
    if (ready & EPOLLHUP && !reads(handle))
        return false;
    mux_handle_flush(handle);
    return handle->state != MUX_HANDLE_ENDING || handle->out->len > 0;
}

void mux_handle_on_socket(MuxWatch *watch)
{
    MuxHandle *handle = mux_container(watch, MuxHandle, watch);

    if (!step(handle))
        mux_handle_free(handle);
}
