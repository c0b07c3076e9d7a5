// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a program says on its handle. What it says in a storm is one notice a turn, and changes of
// properties are told once a turn.

#include "handle-private.h"
#include "proto/bytes.h"
#include "relay/json.h"

#define HEADER     MUX_HANDLE_HEADER
#define RECORD_MAX 65536 // payload
#define RANGE_SIZE 16

enum { FROM_APP_NOTIFY = 1, FROM_APP_SET = 2 };

// What was said in one turn.
typedef struct News {
    uint64_t from, to;
    guint count;
} News;

static bool take_range(const MuxHandle *handle, const uint8_t *payload, size_t length, News *news)
{
    if (length != RANGE_SIZE)
        return false;
    uint64_t untrusted_offset = mux_get64(payload), untrusted_length = mux_get64(payload + 8);
    uint64_t size = handle->buffer->size;
    if (untrusted_offset > size || untrusted_length > size - untrusted_offset)
        return false;
    uint64_t from = untrusted_offset, to = untrusted_offset + untrusted_length;
    news->from = news->count ? MIN(news->from, from) : from;
    news->to = news->count ? MAX(news->to, to) : to;
    news->count++;
    return true;
}

// What cannot be is answered with what is.
static bool take_properties(MuxHandle *handle, const uint8_t *payload, size_t length)
{
    json_object *changes = mux_json_parse((const char *)payload, length, NULL);

    if (!changes)
        return false;
    (void)mux_buffer_set(handle->buffer, changes, true, NULL);
    handle->properties = true;
    json_object_put(changes);
    return true;
}

static bool take_record(MuxHandle *handle, uint32_t type, const uint8_t *payload, size_t length,
                        News *news)
{
    if (handle->state == MUX_HANDLE_GONE)
        return true;
    if (handle->writes && type == FROM_APP_NOTIFY)
        return take_range(handle, payload, length, news);
    return handle->writes && type == FROM_APP_SET && take_properties(handle, payload, length);
}

// Takes the whole records that there are. Returns how many bytes they are, or -1: that makes no
// sense.
static ssize_t take_records(MuxHandle *handle, const uint8_t *bytes, size_t size, News *news)
{
    size_t taken = 0;

    while (size - taken >= HEADER) {
        const uint8_t *record = bytes + taken;
        uint32_t type = mux_get32(record), length = mux_get32(record + 4);
        if (length > RECORD_MAX)
            return -1;
        if (size - taken - HEADER < length)
            break;
        if (!take_record(handle, type, record + HEADER, length, news))
            return -1;
        taken += HEADER + length;
    }
    return (ssize_t)taken;
}

bool mux_handle_take(MuxHandle *handle, const uint8_t *bytes, size_t size)
{
    GByteArray *in = handle->in;
    News news = {0};
    bool direct = in->len == 0;

    if (!direct) {
        g_byte_array_append(in, bytes, (guint)size);
        bytes = in->data;
        size = in->len;
    }
    ssize_t taken = take_records(handle, bytes, size, &news);
    if (news.count > 0)
        mux_buffer_notify(handle->buffer, handle, news.count, news.from, news.to - news.from);
    if (taken < 0)
        return false;
    if (!direct)
        g_byte_array_remove_range(in, 0, (guint)taken);
    else if ((size_t)taken < size)
        g_byte_array_append(in, bytes + taken, (guint)(size - (size_t)taken));
    return true;
}
