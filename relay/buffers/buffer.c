// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One buffer's life. It is bound to its creator's handle, if that is here; handles point to it
// until they close or it is freed, whichever is first.
//
// What may free it, or calls the daemon without having been called by it, is done by its job at the
// end of the turn: so no function here frees a buffer under its caller's feet but those whose names
// say so.

#include <string.h>

#include "buffer-events.h"
#include "buffers-private.h"
#include "handle.h"
#include "relay/link.h"
#include "relay/memory.h"
#include "relay/policy.h"

#define POLICY_NAME "@buffers"

static void attend(MuxBuffer *buffer)
{
    mux_loop_defer(buffer->link->relay->loop, &buffer->job);
}

bool mux_buffer_lives(const MuxBuffer *buffer)
{
    return buffer->state == MUX_BUFFER_MAKING || buffer->state == MUX_BUFFER_READY;
}

// --- the end of the turn

static void tell_changes(MuxBuffer *buffer)
{
    const MuxMemoryKind *kind = buffer->link->relay->memory;
    json_object *changes = buffer->changes;

    buffer->changes = NULL;
    if (changes && buffer->state == MUX_BUFFER_READY && kind->set)
        kind->set(buffer, changes);
    json_object_put(changes);
    if (!buffer->changed)
        return;
    buffer->changed = false;
    for (MuxList *node = buffer->handles.next; node != &buffer->handles; node = node->next)
        mux_handle_properties(mux_handle_of(node));
    mux_event_buffer_changed(buffer);
}

static void on_job(MuxJob *job)
{
    MuxBuffer *buffer = mux_container(job, MuxBuffer, job);
    const MuxMemoryKind *kind = buffer->link->relay->memory;

    mux_buffer_tell_heard(buffer);
    tell_changes(buffer);
    if (buffer->abandoned && mux_buffer_lives(buffer)) {
        mux_buffer_release(buffer, "owner");
    } else if (!mux_buffer_lives(buffer) && buffer->n_handles == 0 && !buffer->idled) {
        buffer->idled = true;
        if (kind->idle)
            kind->idle(buffer);
    }
}

// --- what the daemon says

void mux_buffer_ready(MuxBuffer *buffer)
{
    if (buffer->state != MUX_BUFFER_MAKING)
        return;
    buffer->state = MUX_BUFFER_READY;
    mux_notice_init(&buffer->notice, buffer->id);
    mux_event_buffer_added(buffer);
    if (buffer->maker)
        mux_handle_grant(buffer->maker);
    mux_buffer_take_early(buffer);
}

void mux_buffer_fail(MuxBuffer *buffer, const char *code, const char *text)
{
    if (buffer->maker && buffer->state == MUX_BUFFER_MAKING)
        mux_handle_refuse(buffer->maker, code, text);
    mux_buffer_gone(buffer, "failed");
    mux_buffer_free(buffer);
}

static void refuse_maker(MuxBuffer *buffer, const char *reason)
{
    bool down = strcmp(reason, "link-down") == 0;

    if (buffer->maker)
        mux_handle_refuse(buffer->maker, down ? "link-down" : "failed",
                          down ? "the session with the other side ended"
                               : "it was ended meanwhile");
}

void mux_buffer_gone(MuxBuffer *buffer, const char *reason)
{
    if (!mux_buffer_lives(buffer))
        return;
    if (buffer->state == MUX_BUFFER_MAKING)
        refuse_maker(buffer, reason);
    buffer->state = MUX_BUFFER_GOING;
    for (MuxList *node = buffer->handles.next; node != &buffer->handles; node = node->next)
        mux_handle_gone(mux_handle_of(node), reason);
    mux_event_buffer_removed(buffer, reason);
    mux_notice_deinit(&buffer->notice);
    attend(buffer);
}

void mux_buffer_held(MuxBuffer *buffer)
{
    if (buffer->state == MUX_BUFFER_GOING)
        buffer->state = MUX_BUFFER_HELD;
}

void mux_buffer_release(MuxBuffer *buffer, const char *reason)
{
    const MuxMemoryKind *kind = buffer->link->relay->memory;

    if (!mux_buffer_lives(buffer))
        return;
    mux_buffer_gone(buffer, reason);
    if (kind->release)
        kind->release(buffer, reason);
}

// --- handles

void mux_buffer_join(MuxBuffer *buffer, MuxHandle *handle, bool maker)
{
    mux_list_append(&buffer->handles, mux_handle_node(handle));
    buffer->n_handles++;
    if (maker)
        buffer->maker = handle;
}

void mux_buffer_leave(MuxBuffer *buffer, MuxHandle *handle)
{
    mux_list_remove(mux_handle_node(handle));
    buffer->n_handles--;
    if (buffer->maker == handle) {
        buffer->maker = NULL;
        buffer->abandoned = true;
    }
    attend(buffer);
}

// --- who may

bool mux_buffer_writable_here(const MuxBuffer *buffer)
{
    return buffer->link->relay->role == MUX_GUEST ? buffer->guest_writes : buffer->host_writes;
}

bool mux_buffer_policy_allows(const MuxRelay *relay, const MuxPeer *peer)
{
    return peer->known && mux_policy_allows(relay->policy, MUX_POLICY_OPEN, POLICY_NAME,
                                            strlen(POLICY_NAME), peer);
}

bool mux_buffer_may_open(const MuxBuffer *buffer, const MuxPeer *peer)
{
    if (mux_peer_is_privileged(peer))
        return true;
    if (buffer->ours)
        return peer->known && peer->uid == buffer->uid;
    return mux_buffer_policy_allows(buffer->link->relay, peer);
}

bool mux_buffer_may_release(const MuxBuffer *buffer, const MuxPeer *peer)
{
    // A guest does not end what is the host's.
    if (mux_peer_is_privileged(peer))
        return buffer->ours || buffer->link->relay->role == MUX_HOST;
    return buffer->ours && peer->known && peer->uid == buffer->uid;
}

// --- beginning and end

void mux_buffer_set_program(MuxBuffer *buffer, const char *untrusted_program)
{
    g_strlcpy(buffer->program, untrusted_program ? untrusted_program : "", sizeof(buffer->program));
    for (char *c = buffer->program; *c; c++)
        if (!g_ascii_isgraph(*c))
            *c = '?';
}

MuxBuffer *mux_buffer_new(MuxLink *link, const char *name, uint64_t size)
{
    MuxBuffer *buffer = g_new0(MuxBuffer, 1);

    buffer->link = link;
    buffer->name = g_strdup(name);
    buffer->size = size;
    mux_list_init(&buffer->node);
    mux_list_init(&buffer->handles);
    mux_notice_init(&buffer->notice, 0);
    mux_job_init(&buffer->job, on_job);
    return buffer;
}

void mux_buffer_free(MuxBuffer *buffer)
{
    MuxList *first;

    mux_buffer_gone(buffer, "reset");
    while ((first = mux_list_first(&buffer->handles)))
        mux_handle_orphan(mux_handle_of(first));
    mux_job_cancel(&buffer->job);
    mux_notice_deinit(&buffer->notice);
    mux_buffers_remove(buffer);
    json_object_put(buffer->properties);
    json_object_put(buffer->changes);
    g_free(buffer->application);
    g_free(buffer->name);
    g_free(buffer->owner);
    g_free(buffer->from);
    g_free(buffer->node_path);
    g_free(buffer);
}
