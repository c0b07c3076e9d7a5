// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Notices: that a program wrote in a buffer, and where. Nothing is made for one and nothing is kept
// but a range for each handle, and one for the other side, which grows until it has been told.

#include "buffers-private.h"
#include "handle.h"
#include "relay/link.h"
#include "relay/memory.h"

// Adds a range to one that waits, or begins one.
static void widen(MuxNotice *notice, uint64_t offset, uint64_t length)
{
    uint64_t end = MAX(notice->offset + notice->length, offset + length);

    if (mux_list_empty(&notice->node)) {
        notice->offset = offset;
        notice->length = length;
        return;
    }
    notice->offset = MIN(notice->offset, offset);
    notice->length = end - notice->offset;
}

static void tell_handles(MuxBuffer *buffer, const MuxHandle *but, uint64_t offset, uint64_t length)
{
    const MuxMemoryKind *kind = buffer->link->relay->memory;

    for (MuxList *node = buffer->handles.next; node != &buffer->handles; node = node->next) {
        MuxHandle *handle = mux_handle_of(node);
        if (handle != but)
            mux_handle_notice(handle, offset, length);
    }
    if (kind && kind->noticed)
        kind->noticed(buffer, offset, length);
}

void mux_buffer_notify(MuxBuffer *buffer, const MuxHandle *from, guint count, uint64_t offset,
                       uint64_t length)
{
    if (buffer->state != MUX_BUFFER_READY)
        return;
    buffer->sequence += count;
    buffer->notices += count;
    widen(&buffer->notice, offset, length);
    buffer->notice.sequence = buffer->sequence;
    mux_session_notify(buffer->link->session, &buffer->notice);
    mux_link_kick(buffer->link);
    tell_handles(buffer, from, offset, length);
}

// News of both sides have one count, so that a program sees it go up; but not as far as the other
// side likes.
static uint64_t next_sequence(uint64_t ours, uint64_t theirs)
{
    return theirs > ours && theirs - ours <= G_MAXUINT32 ? theirs : ours + 1;
}

static void remember(MuxBuffers *buffers, const MuxNotice *notice)
{
    MuxNotice *early = NULL;

    for (guint i = 0; i < MUX_EARLY_NOTICES && !early; i++)
        if (buffers->early[i].id == notice->id)
            early = &buffers->early[i];
    if (early) {
        uint64_t from = MIN(early->offset, notice->offset);
        uint64_t ends[] = {early->offset + early->length, notice->offset + notice->length};
        early->length = MAX(ends[0], ends[1]) - from;
        early->offset = from;
    } else {
        early = &buffers->early[buffers->next_early++ % MUX_EARLY_NOTICES];
        *early = *notice;
    }
    early->sequence = notice->sequence;
}

static void take(MuxBuffer *buffer, const MuxNotice *notice)
{
    MuxLink *link = buffer->link;
    // Of another VM's the host hands on what its writers say.
    bool writes = link->relay->role == MUX_HOST
                      ? buffer->guest_writes
                      : buffer->host_writes || mux_buffer_is_shared(buffer);
    if (!writes || notice->offset > buffer->size ||
        notice->length > buffer->size - notice->offset) {
        mux_link_log(link, G_LOG_LEVEL_WARNING,
                     "the other end's notice of buffer '%s' is not possible", buffer->name);
        return;
    }
    buffer->sequence = next_sequence(buffer->sequence, notice->sequence);
    buffer->notices++;
    // A peer that says it a thousand times in a turn makes one notice of that.
    uint64_t end = notice->offset + notice->length;
    buffer->heard_from = buffer->heard ? MIN(buffer->heard_from, notice->offset) : notice->offset;
    buffer->heard_to = buffer->heard ? MAX(buffer->heard_to, end) : end;
    buffer->heard = true;
    mux_loop_defer(link->relay->loop, &buffer->job);
}

void mux_buffer_tell_heard(MuxBuffer *buffer)
{
    if (buffer->heard && buffer->state == MUX_BUFFER_READY)
        tell_handles(buffer, NULL, buffer->heard_from, buffer->heard_to - buffer->heard_from);
    buffer->heard = false;
}

void mux_buffer_take_early(MuxBuffer *buffer)
{
    MuxBuffers *buffers = buffer->link->buffers;

    for (guint i = 0; i < MUX_EARLY_NOTICES; i++) {
        MuxNotice notice = buffers->early[i];
        if (buffer->id == 0 || notice.id != buffer->id)
            continue;
        buffers->early[i].id = 0;
        take(buffer, &notice);
    }
}

void mux_buffers_notice(MuxLink *link, const MuxEvent *event)
{
    MuxBuffer *buffer = mux_buffers_find_id(link, event->notice->id);

    if (!buffer || buffer->state == MUX_BUFFER_MAKING)
        remember(link->buffers, event->notice);
    else if (buffer->state == MUX_BUFFER_READY)
        take(buffer, event->notice); // or it has crossed the buffer's end
}
