// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A share is what this side has beside a MuxBuffer: which request it is, then which device's. It is
// there from the buffer's beginning to its end, for those that programs here make and for those
// that the host tells of.
//
// It ends with its device, when the host has asked for that and nobody has it any more (bar-end.c).
// One of which the host does not know any more is forsaken: it ends as soon as no program has it.

#include <errno.h>
#include <string.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/sources.h"

#define CREATE_MS   10000
#define CHANGES_MAX 8192 // bytes of changes that wait; beyond, all properties are told instead

static MuxMemory *memory_of(const MuxBuffer *buffer)
{
    return buffer->link->relay->memory_user;
}

MuxShare *mux_share_new(MuxBuffer *buffer)
{
    MuxShare *share = g_new0(MuxShare, 1);

    share->memory = memory_of(buffer);
    share->buffer = buffer;
    buffer->memory = share;
    return share;
}

static void share_free(MuxShare *share)
{
    if (share->timer)
        g_source_remove(share->timer);
    if (share->bar) {
        share->bar->share = NULL;
        mux_bar_free(share->bar);
    }
    json_object_put(share->changes);
    share->buffer->memory = NULL;
    g_free(share);
}

void mux_share_end(MuxShare *share)
{
    MuxBuffer *buffer = share->buffer;

    share_free(share);
    mux_buffer_free(buffer);
}

void mux_share_fail(MuxShare *share, const char *code, const char *text)
{
    MuxBuffer *buffer = share->buffer;

    share_free(share);
    mux_buffer_fail(buffer, code, text);
}

// It ends as soon as no program has it.
static void forsake(MuxShare *share, const char *reason)
{
    MuxBuffer *buffer = share->buffer;

    share->forsaken = true;
    mux_buffer_gone(buffer, reason);
    if (buffer->idled)
        mux_share_end(share);
}

void mux_share_say_release(MuxMemory *memory, const char *name, uint64_t id, const char *reason)
{
    json_object *line = id ? mux_id_line("device", id) : json_object_new_object();

    mux_line_text(line, "release", name);
    mux_line_text(line, "reason", reason);
    mux_memory_say(memory, line);
}

// --- made by a program here

static gboolean on_late(gpointer user)
{
    MuxShare *share = user;

    share->timer = 0;
    mux_share_say_release(share->memory, share->buffer->name, 0, "owner");
    mux_share_fail(share, "timeout", "the host did not answer in time");
    return G_SOURCE_REMOVE;
}

static json_object *create_line(const MuxShare *share)
{
    const MuxBuffer *buffer = share->buffer;
    json_object *line = json_object_new_object();

    mux_line_text(line, "create", buffer->name);
    json_object_object_add(line, "request", json_object_new_int64(share->request));
    json_object_object_add(line, "size", json_object_new_int64((int64_t)buffer->size));
    if (!buffer->host_writes || !buffer->guest_writes)
        mux_line_text(line, "read_only_for", buffer->host_writes ? "guest" : "host");
    json_object_object_add(line, "properties", json_object_get(buffer->properties));
    json_object_object_add(line, "uid", json_object_new_int64(buffer->uid));
    json_object_object_add(line, "gid", json_object_new_int64(buffer->gid));
    mux_line_text(line, "program", buffer->program);
    return line;
}

void mux_share_create(MuxBuffer *buffer)
{
    MuxMemory *memory = memory_of(buffer);

    if (!memory->lines || !mux_lines_are_open(memory->lines)) {
        mux_buffer_fail(buffer, "no-memory", "the host shares no memory with this guest");
        return;
    }
    if (mux_memory_is_busy(memory)) {
        mux_buffer_fail(buffer, "limit", "too many buffers are being asked for; try again");
        return;
    }
    MuxShare *share = mux_share_new(buffer);
    share->request = ++memory->request;
    share->named = true;
    share->timer = mux_source_timeout(CREATE_MS, on_late, share);
    mux_memory_say(memory, create_line(share));
}

// --- what programs here do

void mux_share_set(MuxBuffer *buffer, json_object *changes)
{
    MuxShare *share = buffer->memory;

    if (!share->changes)
        share->changes = json_object_new_object();
    json_object_object_foreach(changes, key, value)
    {
        share->changed_bytes += strlen(key) + (value ? strlen(json_object_get_string(value)) : 0);
        if (share->changed_bytes <= CHANGES_MAX)
            json_object_object_add(share->changes, key, json_object_get(value));
    }
    if (share->memory->lines)
        mux_lines_kick(share->memory->lines);
}

json_object *mux_shares_next(MuxMemory *memory)
{
    MuxBuffer *buffer = NULL;

    while ((buffer = mux_buffers_next(memory->link, buffer))) {
        MuxShare *share = buffer->memory;
        if (!share || !share->changes || buffer->state != MUX_BUFFER_READY)
            continue;
        json_object *line = json_object_new_object();
        mux_line_text(line, "set", buffer->name);
        bool all = share->changed_bytes > CHANGES_MAX;
        json_object_object_add(line, "properties",
                               json_object_get(all ? buffer->properties : share->changes));
        if (all)
            json_object_object_add(line, "all", json_object_new_boolean(true));
        json_object_put(share->changes);
        share->changes = NULL;
        share->changed_bytes = 0;
        return line;
    }
    return NULL;
}

void mux_share_release(MuxBuffer *buffer, const char *reason)
{
    MuxShare *share = buffer->memory;
    MuxMemory *memory = memory_of(buffer);

    if (share) // or it is given up here
        mux_share_say_release(memory, buffer->name, buffer->id, reason);
    if (share && share->bar) {
        // Without a channel nobody asks for it back.
        share->forsaken = !mux_lines_are_open(memory->lines);
        return;
    }
    // Its device, if there will be one, is the host's to take back.
    if (share)
        share_free(share);
    mux_buffer_free(buffer);
}

void mux_share_idle(MuxBuffer *buffer)
{
    MuxShare *share = buffer->memory;

    if (!share)
        mux_buffer_free(buffer);
    else if (share->forsaken)
        mux_share_end(share);
    else if (share->bar)
        mux_bar_idle(share->bar);
}

int mux_share_memory(MuxBuffer *buffer, bool write)
{
    const MuxShare *share = buffer->memory;

    if (!share || !share->bar || !share->bar->device)
        return -ENODEV;
    return mux_device_open(share->bar->device, write);
}

void mux_share_lost(MuxShare *share)
{
    forsake(share, "reset");
}

// --- all of them

typedef enum Fate {
    STAYS,
    FAILS,
    FORSAKEN,
} Fate;

static void judge(MuxMemory *memory, Fate (*fate)(const MuxShare *share))
{
    MuxBuffer *buffer = memory->link ? mux_buffers_next(memory->link, NULL) : NULL;

    while (buffer) {
        MuxBuffer *next = mux_buffers_next(memory->link, buffer);
        MuxShare *share = buffer->memory;
        switch (share ? fate(share) : STAYS) {
        case STAYS:
            break;
        case FAILS:
            mux_share_fail(share, "link-down", "the session with the host ended");
            break;
        case FORSAKEN:
            forsake(share, "reset");
            break;
        }
        buffer = next;
    }
}

static Fate when_listed(const MuxShare *share)
{
    return share->named || share->buffer->state != MUX_BUFFER_READY ? STAYS : FORSAKEN;
}

void mux_shares_listed(MuxMemory *memory)
{
    memory->listed = true;
    judge(memory, when_listed);
}

// Of those that go or are held, the host speaks anew.
static Fate when_down(const MuxShare *share)
{
    switch (share->buffer->state) {
    case MUX_BUFFER_MAKING:
        return FAILS;
    case MUX_BUFFER_READY:
        return STAYS;
    case MUX_BUFFER_GOING:
    case MUX_BUFFER_HELD:
        break;
    }
    return FORSAKEN;
}

static Fate when_lost(const MuxShare *share)
{
    return share->buffer->state == MUX_BUFFER_MAKING ? FAILS : FORSAKEN;
}

void mux_shares_down(MuxMemory *memory, bool lost)
{
    MuxBuffer *buffer = NULL;

    judge(memory, lost ? when_lost : when_down);
    while (memory->link && (buffer = mux_buffers_next(memory->link, buffer)))
        if (buffer->memory)
            ((MuxShare *)buffer->memory)->named = false;
}

void mux_shares_free(MuxMemory *memory)
{
    MuxBuffer *buffer = NULL;

    while (memory->link && (buffer = mux_buffers_next(memory->link, buffer)))
        if (buffer->memory)
            share_free(buffer->memory);
}
