// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What may come into a link's table. What is going or held counts until it is freed.
//
// On the host the limits are for both sides' buffers together. In the guest they are for what its
// programs ask for; what its host tells it of is only bounded.

#include <string.h>

#include "buffers-private.h"
#include "proto/name.h"
#include "relay/link.h"

bool mux_buffers_check_name(const MuxLink *link, const char *name, MuxBufferError *ret_error)
{
    size_t length = strlen(name), word;

    if (!mux_name_valid(name, length, &word) || word != length)
        return mux_buffer_error(
            ret_error, "bad-name",
            "a buffer's name is 1 to 128 of A-Z a-z 0-9 . _ - and begins with neither . nor -");
    if (mux_buffers_find(link, name))
        return mux_buffer_error(ret_error, "exists", "there is a buffer of that name");
    return true;
}

static double mebibytes(guint64 bytes)
{
    return (double)bytes / (1 << 20);
}

static guint64 most_bytes(const MuxLink *link, bool ours)
{
    bool bounded = ours || link->relay->role == MUX_HOST;

    return bounded ? link->relay->buffers.bytes : G_MAXINT64 / 2;
}

// What is asked for is looked at first, so nothing wraps.
bool mux_buffers_fit_size(const MuxLink *link, bool ours, uint64_t size, uint64_t *ret_size,
                          MuxBufferError *ret_error)
{
    guint64 most = most_bytes(link, ours);
    guint64 rounded = MUX_BUFFER_LEAST;

    if (size == 0)
        return mux_buffer_error(ret_error, "bad-size", "\"size\" is missing, or 0");
    while (size <= most && rounded < size)
        rounded *= 2;
    if (size > most || rounded > most)
        return mux_buffer_error(
            ret_error, "bad-size",
            "all buffers of this VM may have %.10g MiB (\"limits\": \"buffer_bytes\")",
            mebibytes(most));
    *ret_size = rounded;
    return true;
}

typedef struct Sum {
    guint buffers;
    guint64 bytes;
} Sum;

// Of all, or of the user whose peer it is.
static Sum count(const MuxLink *link, const MuxPeer *peer, const MuxBuffer *but)
{
    const MuxBuffer *buffer = NULL;
    Sum sum = {0};

    while ((buffer = mux_buffers_next(link, buffer))) {
        if (buffer == but || (peer && (!buffer->ours || buffer->uid != peer->uid)))
            continue;
        sum.buffers++;
        sum.bytes += buffer->size;
    }
    return sum;
}

// What it is that does not fit, or NULL.
static const char *excess(Sum sum, uint64_t size, guint buffers, guint64 bytes)
{
    return sum.buffers >= buffers                     ? "buffers"
           : size > bytes || sum.bytes > bytes - size ? "buffer_bytes"
                                                      : NULL;
}

static bool check_all(const MuxLink *link, uint64_t size, const MuxBuffer *but,
                      MuxBufferError *ret_error)
{
    const MuxBufferLimits *most = &link->relay->buffers;
    const char *key = excess(count(link, NULL, but), size, most->buffers, most->bytes);

    return !key || mux_buffer_error(ret_error, "limit",
                                    "this VM may have %u buffers of %.10g MiB (\"limits\": \"%s\")",
                                    most->buffers, mebibytes(most->bytes), key);
}

// Half of it.
static bool check_user(const MuxLink *link, uint64_t size, const MuxPeer *peer,
                       const MuxBuffer *but, MuxBufferError *ret_error)
{
    const MuxBufferLimits *most = &link->relay->buffers;
    guint buffers = (most->buffers + 1) / 2;
    guint64 bytes = most->bytes / 2;
    const char *key = excess(count(link, peer, but), size, buffers, bytes);

    if (!key)
        return true;
    if (strcmp(key, "buffers") == 0)
        return mux_buffer_error(
            ret_error, "limit",
            "this user may have %u of this VM's %u buffers (\"limits\": \"%s\")", buffers,
            most->buffers, key);
    return mux_buffer_error(
        ret_error, "limit",
        "this user may have %.10g MiB of this VM's %.10g MiB (\"limits\": \"%s\")",
        mebibytes(bytes), mebibytes(most->bytes), key);
}

bool mux_buffers_check_limits(const MuxLink *link, uint64_t size, const MuxPeer *peer,
                              const MuxBuffer *but, MuxBufferError *ret_error)
{
    if (mux_buffers_count(link) - (but ? 1 : 0) >= MUX_BUFFERS_MOST)
        return mux_buffer_error(ret_error, "limit", "this VM has %d buffers already",
                                MUX_BUFFERS_MOST);
    if (!peer && link->relay->role == MUX_GUEST)
        return true;
    return check_all(link, size, but, ret_error) &&
           (!peer || mux_peer_is_privileged(peer) || check_user(link, size, peer, but, ret_error));
}

bool mux_buffer_set_size(MuxBuffer *buffer, uint64_t size, MuxBufferError *ret_error)
{
    const MuxPeer peer = {.known = true, .uid = buffer->uid};
    uint64_t rounded = 0;

    g_assert(buffer->state != MUX_BUFFER_READY);
    if (!mux_buffers_fit_size(buffer->link, buffer->ours, size, &rounded, ret_error) ||
        !mux_buffers_check_limits(buffer->link, rounded, buffer->ours ? &peer : NULL, buffer,
                                  ret_error))
        return false;
    buffer->size = rounded;
    return true;
}
