// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The table of a link's buffers. A buffer that is going or held is in it until it is freed, but its
// name is free: the next one of that name is another.

#include "buffers.h"

#include <string.h>

#include "buffers-private.h"
#include "relay/link.h"

MuxBuffers *mux_buffers_new(MuxLink *link)
{
    MuxBuffers *buffers = g_new0(MuxBuffers, 1);

    buffers->link = link;
    mux_list_init(&buffers->list);
    return buffers;
}

void mux_buffers_end(MuxBuffers *buffers)
{
    for (MuxList *node = buffers->list.next; node != &buffers->list; node = node->next)
        mux_buffer_gone(mux_container(node, MuxBuffer, node), "link-down");
}

MuxBuffers *mux_buffers_free(MuxBuffers *buffers)
{
    MuxList *first;

    if (!buffers)
        return NULL;
    while ((first = mux_list_first(&buffers->list)))
        mux_buffer_free(mux_container(first, MuxBuffer, node));
    g_free(buffers);
    return NULL;
}

// --- finding

MuxBuffer *mux_buffers_next(const MuxLink *link, const MuxBuffer *buffer)
{
    const MuxList *list = &link->buffers->list;
    MuxList *next = buffer ? buffer->node.next : list->next;

    return next == list ? NULL : mux_container(next, MuxBuffer, node);
}

MuxBuffer *mux_buffers_find(const MuxLink *link, const char *name)
{
    MuxBuffer *buffer = NULL;

    while ((buffer = mux_buffers_next(link, buffer)))
        if (mux_buffer_lives(buffer) && strcmp(buffer->name, name) == 0)
            return buffer;
    return NULL;
}

// There are few, and mostly one.
MuxBuffer *mux_buffers_find_id(const MuxLink *link, uint64_t id)
{
    MuxBuffer *buffer = NULL;

    while (id && (buffer = mux_buffers_next(link, buffer)))
        if (buffer->id == id)
            return buffer;
    return NULL;
}

guint mux_buffers_count(const MuxLink *link)
{
    return link->buffers->count;
}

// --- coming into it

bool mux_buffer_error(MuxBufferError *ret_error, const char *code, const char *format, ...)
{
    const char *end;
    va_list arguments;

    ret_error->code = code;
    va_start(arguments, format);
    (void)g_vsnprintf(ret_error->text, sizeof(ret_error->text), format, arguments);
    va_end(arguments);
    // It may have been cut within a character.
    if (!g_utf8_validate(ret_error->text, -1, &end))
        ret_error->text[end - ret_error->text] = '\0';
    return false;
}

bool mux_buffer_is_shared(const MuxBuffer *buffer)
{
    return strcmp(buffer->owner, "guest") != 0 && strcmp(buffer->owner, "host") != 0;
}

static bool read_only(const char *word, MuxBuffer *buffer, MuxBufferError *ret_error)
{
    buffer->host_writes = g_strcmp0(word, "host") != 0;
    buffer->guest_writes = g_strcmp0(word, "guest") != 0;
    if (word && buffer->host_writes && buffer->guest_writes)
        return mux_buffer_error(ret_error, "bad-request",
                                "\"read_only_for\" must be \"guest\" or \"host\"");
    if (mux_buffer_is_shared(buffer))
        buffer->host_writes = buffer->guest_writes = false;
    return true;
}

static bool take_properties(MuxBuffer *buffer, json_object *properties, MuxBufferError *ret_error)
{
    g_autoptr(GError) error = NULL;

    buffer->properties = json_object_new_object();
    if (!properties || mux_buffer_put_properties(buffer, properties, &error))
        return true;
    return mux_buffer_error(
        ret_error, "bad-request",
        "\"properties\" are at most 32 strings, 4096 bytes with their names, which are 1 to "
        "64 of A-Z a-z 0-9 . _ -");
}

static MuxBuffer *insert(MuxBuffers *buffers, const char *name, uint64_t size)
{
    MuxBuffer *buffer = mux_buffer_new(buffers->link, name, size);

    mux_list_append(&buffers->list, &buffer->node);
    buffers->count++;
    return buffer;
}

void mux_buffers_remove(MuxBuffer *buffer)
{
    mux_list_remove(&buffer->node);
    buffer->link->buffers->count--;
}

MuxBuffer *mux_buffers_add(MuxLink *link, const MuxBufferFacts *facts, MuxBufferError *ret_error)
{
    uint64_t size;

    if (!mux_buffers_check_name(link, facts->name, ret_error) ||
        !mux_buffers_fit_size(link, false, facts->size, &size, ret_error) ||
        !mux_buffers_check_limits(link, size, NULL, NULL, ret_error))
        return NULL;
    MuxBuffer *buffer = insert(link->buffers, facts->name, size);
    buffer->id = facts->id;
    buffer->owner = g_strdup(facts->owner);
    buffer->uid = facts->uid;
    buffer->gid = facts->gid;
    mux_buffer_set_program(buffer, facts->program);
    if (read_only(facts->read_only_for, buffer, ret_error) &&
        take_properties(buffer, facts->properties, ret_error))
        return buffer;
    mux_buffer_free(buffer);
    return NULL;
}

static bool may_wish(const MuxLink *link, const MuxBufferWish *wish, const MuxPeer *peer,
                     MuxBufferError *ret_error)
{
    if (!mux_buffer_policy_allows(link->relay, peer))
        return mux_buffer_error(ret_error, "denied", "%s", MUX_BUFFER_NOT_LET);
    if (wish->from && link->relay->role != MUX_HOST)
        return mux_buffer_error(ret_error, "bad-request", "\"from\" is for the host only");
    if (wish->from && !mux_peer_is_privileged(peer))
        return mux_buffer_error(ret_error, "denied",
                                "\"from\" is for root and the daemon's own user");
    return true;
}

MuxBuffer *mux_buffers_wish(MuxLink *link, const MuxBufferWish *wish, const MuxPeer *peer,
                            MuxBufferError *ret_error)
{
    uint64_t size = 0;

    if (!may_wish(link, wish, peer, ret_error) ||
        !mux_buffers_check_name(link, wish->name, ret_error) ||
        ((!wish->from || wish->size) &&
         !mux_buffers_fit_size(link, true, wish->size, &size, ret_error)) ||
        !mux_buffers_check_limits(link, size, peer, NULL, ret_error))
        return NULL;
    MuxBuffer *buffer = insert(link->buffers, wish->name, size);
    buffer->owner = g_strdup(link->relay->role == MUX_GUEST ? "guest" : "host");
    buffer->ours = true;
    buffer->uid = peer->uid;
    buffer->gid = peer->gid;
    buffer->from = g_strdup(wish->from);
    mux_buffer_set_program(buffer, peer->program);
    if (read_only(wish->read_only_for, buffer, ret_error) &&
        take_properties(buffer, wish->properties, ret_error))
        return buffer;
    mux_buffer_free(buffer);
    return NULL;
}
