// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// All handles of a daemon: how many there may be, whose they are, and how long a program may take
// to say what it wants, to read why it does not get it, and to close what is gone. While somebody's
// time runs they are looked at once a second.

#include "handle-private.h"

#include <sys/socket.h>
#include <unistd.h>

#include "relay/sources.h"

#define HANDLES_MAX         1024 // each is a descriptor and some hundred bytes
#define OF_ONE_USER         256
#define TIME_US             (10 * G_USEC_PER_SEC)
#define GONE_TIME_US        (3 * G_USEC_PER_SEC)
#define DROPPED_MAX         (64 * 1024)
#define KEPT_FOR_PRIVILEGED 64

struct MuxHandles {
    MuxRelay *relay;
    MuxList list;
    guint count;
    guint timer; // GLib source while somebody's time runs, or 0
};

MuxRelay *mux_handle_relay(const MuxHandle *handle)
{
    return handle->handles->relay;
}

// --- time

static uint64_t time_of(const MuxHandle *handle)
{
    switch (handle->state) {
    case MUX_HANDLE_ASKING:
    case MUX_HANDLE_ENDING:
        return TIME_US;
    case MUX_HANDLE_GONE:
        return GONE_TIME_US;
    case MUX_HANDLE_WAITING: // the daemon's to bound
    case MUX_HANDLE_OPEN:
        break;
    }
    return 0;
}

static gboolean on_timer(gpointer user)
{
    MuxHandles *handles = user;
    uint64_t now = (uint64_t)g_get_monotonic_time();
    bool runs = false;

    for (MuxList *node = handles->list.next, *next; node != &handles->list; node = next) {
        MuxHandle *handle = mux_container(node, MuxHandle, node);
        uint64_t time = time_of(handle);
        next = node->next;
        if (time && now - handle->since_us >= time)
            mux_handle_free(handle);
        else
            runs |= time > 0;
    }
    if (runs)
        return G_SOURCE_CONTINUE;
    handles->timer = 0;
    return G_SOURCE_REMOVE;
}

void mux_handle_enter(MuxHandle *handle, MuxHandleState state)
{
    MuxHandles *handles = handle->handles;

    handle->state = state;
    handle->since_us = (uint64_t)g_get_monotonic_time();
    if (time_of(handle) && !handles->timer)
        handles->timer = mux_source_timeout(1000, on_timer, handles);
}

// --- beginning and end

static guint count_of(const MuxHandles *handles, uid_t uid)
{
    guint count = 0;

    for (const MuxList *node = handles->list.next; node != &handles->list; node = node->next)
        count += mux_container(node, const MuxHandle, node)->peer.uid == uid;
    return count;
}

static bool admits(const MuxHandles *handles, const MuxPeer *peer)
{
    guint count = count_of(handles, peer->uid);

    if (mux_peer_is_privileged(peer))
        return handles->count < HANDLES_MAX;
    return handles->count < HANDLES_MAX - KEPT_FOR_PRIVILEGED && count < OF_ONE_USER &&
           mux_relay_has_room(handles->relay, count);
}

static void set_aside(MuxHandles *handles, MuxHandle *handle)
{
    mux_list_init(&handle->node);
    mux_list_append(&handles->list, &handle->node);
    handles->count++;
    handles->relay->sockets++;
}

static MuxHandle *handle_new(MuxHandles *handles, MuxPeer *peer)
{
    MuxHandle *handle = g_new0(MuxHandle, 1);

    handle->handles = handles;
    handle->peer = *peer;
    *peer = (MuxPeer){0};
    handle->in = g_byte_array_new();
    handle->out = g_byte_array_new();
    handle->pass = -1;
    mux_watch_init(&handle->watch);
    mux_list_init(&handle->member);
    set_aside(handles, handle);
    mux_handle_enter(handle, MUX_HANDLE_ASKING);
    return handle;
}

void mux_handle_add(MuxHandles *handles, int fd, MuxAnswers answers, MuxPeer *peer)
{
    if (!admits(handles, peer)) {
        mux_greeting_refuse(fd, answers, MUX_CODE_LIMIT, "@buffer",
                            "too many connections to buffers are open");
        close(fd);
        mux_peer_clear(peer);
        return;
    }
    MuxHandle *handle = handle_new(handles, peer);
    if (mux_watch_start(&handle->watch, handles->relay->loop, fd, 0, mux_handle_on_socket) < 0) {
        close(fd);
        mux_handle_free(handle);
        return;
    }
    if (answers)
        g_byte_array_append(handle->out, (const guint8 *)"OK\n", 3);
    mux_handle_flush(handle);
}

// What the program has sent already would, unread, make of our close() an error for it that hides
// the answer's end.
static void drop_input(int fd)
{
    char buffer[4096];

    for (size_t i = 0; fd >= 0 && i < DROPPED_MAX / sizeof(buffer); i++)
        if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0)
            return;
}

static void handle_free(MuxHandle *handle)
{
    drop_input(handle->watch.fd);
    mux_watch_close(&handle->watch);
    if (handle->pass >= 0)
        close(handle->pass);
    mux_list_remove(&handle->member);
    mux_list_remove(&handle->node);
    handle->handles->count--;
    handle->handles->relay->sockets--;
    mux_peer_clear(&handle->peer);
    g_byte_array_unref(handle->in);
    g_byte_array_unref(handle->out);
    g_free(handle);
}

void mux_handle_free(MuxHandle *handle)
{
    if (handle->buffer)
        mux_buffer_leave(handle->buffer, handle);
    handle_free(handle);
}

MuxHandles *mux_handles_new(MuxRelay *relay)
{
    MuxHandles *handles = g_new0(MuxHandles, 1);

    handles->relay = relay;
    mux_list_init(&handles->list);
    return handles;
}

MuxHandles *mux_handles_free(MuxHandles *handles)
{
    MuxList *first;

    if (!handles)
        return NULL;
    // The loop does not turn any more, so nothing comes of a creator's leaving.
    while ((first = mux_list_first(&handles->list)))
        mux_handle_free(mux_container(first, MuxHandle, node));
    if (handles->timer)
        g_source_remove(handles->timer);
    g_free(handles);
    return NULL;
}
