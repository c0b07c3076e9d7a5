// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One VM's buffer in others, as "shares" of the configuration has it: one writes, the others read.
// Each of them has a device of its own on the same memory. Each proves it with the first bytes of
// that, so it is done for one after the other, and before anybody has the buffer; a VM that takes
// too long for it goes without.

#include <string.h>

#include "memory-private.h"
#include "relay/sources.h"

#define SPREAD_TIME_MS 5000 // of the 10 s that the guest waits for its buffer

static void go_on(MuxShare *share);

// --- who gets it

static bool matches(const MuxSharing *sharing, const MuxShare *share)
{
    return strcmp(sharing->buffer, share->buffer->name) == 0 &&
           strcmp(sharing->from, share->vm->link->name) == 0;
}

static bool names(const MuxSharing *sharing, const char *vm)
{
    for (char **pattern = sharing->to; *pattern; pattern++)
        if (g_pattern_match_simple(*pattern, vm))
            return true;
    return false;
}

static bool is_to_have(const MuxShare *share, const MuxLink *link)
{
    const GPtrArray *shares = share->vm->memory->shares;
    const MuxVm *vm = link->memory;

    for (guint i = 0; vm && vm != share->vm && vm->begun && shares && i < shares->len; i++) {
        const MuxSharing *sharing = g_ptr_array_index(shares, i);
        if (matches(sharing, share) && names(sharing, link->name))
            return true;
    }
    return false;
}

bool mux_spread_start(MuxShare *share)
{
    const MuxRelay *relay = share->vm->memory->relay;

    if (strcmp(share->buffer->owner, "guest") != 0)
        return false;
    share->candidates = g_ptr_array_new_with_free_func(g_free);
    share->readers = g_ptr_array_new();
    for (guint i = 0; i < relay->links->len; i++) {
        const MuxLink *link = g_ptr_array_index(relay->links, i);
        if (is_to_have(share, link))
            g_ptr_array_add(share->candidates, g_strdup(link->name));
    }
    go_on(share);
    return true;
}

// --- one after the other

static void stop_spreading(MuxShare *share)
{
    if (share->spreading)
        g_source_remove(share->spreading);
    share->spreading = 0;
    g_clear_pointer(&share->candidates, g_ptr_array_unref);
}

static MuxShare *unproved(const MuxShare *share)
{
    for (guint i = 0; i < share->readers->len; i++) {
        MuxShare *reader = g_ptr_array_index(share->readers, i);
        if (reader->device && reader->device->state < MUX_DEVICE_READY)
            return reader;
    }
    return NULL;
}

static void finish(MuxShare *share)
{
    stop_spreading(share);
    mux_share_publish(share);
    for (guint i = 0; i < share->readers->len; i++) {
        MuxShare *reader = g_ptr_array_index(share->readers, i);
        if (reader->buffer->state == MUX_BUFFER_MAKING && reader->device)
            mux_share_publish(reader);
    }
}

static gboolean on_late(gpointer user)
{
    MuxShare *share = user;
    MuxShare *reader = unproved(share);

    share->spreading = 0;
    g_ptr_array_set_size(share->candidates, 0);
    if (reader)
        mux_share_gone(reader, "link-down");
    if (share->candidates)
        go_on(share);
    return G_SOURCE_REMOVE;
}

static void give(MuxShare *share, const char *vm)
{
    const MuxBuffer *buffer = share->buffer;
    const MuxLink *link = mux_relay_find(share->vm->memory->relay, vm, strlen(vm));
    const MuxBufferFacts facts = {.name = buffer->name,
                                  .size = buffer->size,
                                  .owner = share->vm->link->name,
                                  .uid = (uid_t)-1,
                                  .gid = (gid_t)-1,
                                  .program = "",
                                  .read_only_for = "guest",
                                  .properties = buffer->properties};
    MuxShare *reader = link && link->memory ? mux_share_read(link->memory, &facts, share) : NULL;

    if (reader)
        g_ptr_array_add(share->readers, reader);
}

static void go_on(MuxShare *share)
{
    while (share->candidates->len > 0 && !unproved(share)) {
        g_autofree char *vm = g_ptr_array_steal_index(share->candidates, 0);
        give(share, vm);
    }
    if (!unproved(share))
        finish(share);
    else if (!share->spreading)
        share->spreading = mux_source_timeout(SPREAD_TIME_MS, on_late, share);
}

void mux_spread_proved(MuxShare *reader)
{
    if (reader->source->candidates)
        go_on(reader->source);
}

void mux_spread_leave(MuxShare *share)
{
    MuxShare *source = share->source;

    stop_spreading(share);
    g_clear_pointer(&share->readers, g_ptr_array_unref);
    share->source = NULL;
    if (!source || !source->readers || !g_ptr_array_remove(source->readers, share))
        return;
    if (source->candidates && !unproved(source))
        go_on(source);
}

// --- what becomes of it

void mux_spread_changed(MuxShare *share)
{
    for (guint i = 0; share->readers && i < share->readers->len; i++) {
        MuxShare *reader = g_ptr_array_index(share->readers, i);
        if (mux_buffer_changed(reader->buffer, share->buffer->properties, NULL))
            mux_share_told(reader);
    }
}

void mux_spread_noticed(MuxShare *share, uint64_t offset, uint64_t length)
{
    for (guint i = 0; share->readers && i < share->readers->len; i++) {
        const MuxShare *reader = g_ptr_array_index(share->readers, i);
        mux_buffer_notify(reader->buffer, NULL, 1, offset, length);
    }
}

void mux_spread_end(MuxShare *share, const char *reason)
{
    g_autoptr(GPtrArray) readers = g_steal_pointer(&share->readers);

    stop_spreading(share);
    for (guint i = 0; readers && i < readers->len; i++) {
        MuxShare *reader = g_ptr_array_index(readers, i);
        reader->source = NULL;
        mux_share_gone(reader, reason);
    }
}
