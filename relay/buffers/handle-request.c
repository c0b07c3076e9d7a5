// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How a handle begins: {"create": NAME, …} or {"open": NAME, …}, and the answer.

#include <errno.h>
#include <string.h>

#include "buffer-json.h"
#include "buffers-private.h"
#include "handle-private.h"
#include "relay/json.h"
#include "relay/link.h"
#include "relay/memory.h"
#include "relay/verbs.h"

#define NAME_SHOWN 128 // bytes

// In the guest the name is the buffer's; on the host, VM/buffer.
static MuxLink *find_link(const MuxRelay *relay, const char **name)
{
    if (relay->role == MUX_GUEST)
        return relay->links->len ? g_ptr_array_index(relay->links, 0) : NULL;

    const char *slash = strchr(*name, '/');
    MuxLink *link = slash ? mux_relay_find(relay, *name, (size_t)(slash - *name)) : NULL;
    if (link)
        *name = slash + 1;
    return link;
}

MuxLink *mux_buffers_link(const MuxRelay *relay, const char **name, MuxBufferError *ret_error)
{
    MuxLink *link = find_link(relay, name);
    const char *slash = strchr(*name, '/');

    if (!link && slash)
        (void)mux_buffer_error(ret_error, "bad-name", "there is no VM '%.*s' (see muxctl vms)",
                               (int)MIN(slash - *name, NAME_SHOWN), *name);
    else if (!link)
        (void)mux_buffer_error(ret_error, "bad-name",
                               "on the host a buffer's name is VM/NAME (see muxctl vms)");
    return link;
}

// --- answers

static void put_answer(MuxHandle *handle, json_object *answer)
{
    const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);

    g_byte_array_append(handle->out, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(handle->out, (const guint8 *)"\n", 1);
    json_object_put(answer);
}

void mux_handle_refuse(MuxHandle *handle, const char *code, const char *text)
{
    if (handle->buffer)
        mux_buffer_leave(handle->buffer, handle);
    handle->buffer = NULL;
    put_answer(handle, mux_verb_error(code, text));
    mux_handle_enter(handle, MUX_HANDLE_ENDING);
    mux_handle_flush(handle);
}

static void refuse(MuxHandle *handle, const MuxBufferError *error)
{
    mux_handle_refuse(handle, error->code, error->text);
}

void mux_handle_grant(MuxHandle *handle)
{
    MuxBuffer *buffer = handle->buffer;
    int fd = mux_handle_relay(handle)->memory->memory(buffer, handle->writes);

    if (fd < 0) {
        mux_handle_refuse(handle, fd == -EPERM ? "unmappable" : "failed", g_strerror(-fd));
        return;
    }
    json_object *answer = json_object_new_object(), *shown = mux_buffer_json(buffer);
    json_object_object_add(answer, "ok", json_object_new_boolean(true));
    json_object_object_add(shown, "writable", json_object_new_boolean(handle->writes));
    json_object_object_add(answer, "buffer", shown);
    handle->pass = fd;
    handle->pass_at = handle->out->len; // "OK" may be waiting still
    put_answer(handle, answer);
    mux_handle_enter(handle, MUX_HANDLE_OPEN);
    mux_handle_flush(handle);
}

// --- requests

static bool can_create(const MuxLink *link, MuxBufferError *ret_error)
{
    const MuxMemoryKind *kind = link->relay->memory;
    MuxSessionInfo info;

    mux_session_info(link->session, &info);
    if (!mux_session_is_up(link->session)) {
        *ret_error = (MuxBufferError){"link-down", "there is no session with the other side"};
        return false;
    }
    if (kind && kind->create && info.features & MUX_FEATURE_MEMORY)
        return true;
    *ret_error = (MuxBufferError){"no-memory", "one of the two daemons shares no memory"};
    return false;
}

static void create(MuxHandle *handle, const MuxBufferWish *untrusted_wish)
{
    const MuxRelay *relay = mux_handle_relay(handle);
    MuxBufferWish wish = *untrusted_wish;
    MuxBufferError error;
    MuxLink *link = mux_buffers_link(relay, &wish.name, &error);

    if (!link) {
        refuse(handle, &error);
        return;
    }
    if (!can_create(link, &error)) {
        refuse(handle, &error);
        return;
    }
    MuxBuffer *buffer = mux_buffers_wish(link, &wish, &handle->peer, &error);
    if (!buffer) {
        refuse(handle, &error);
        return;
    }
    handle->buffer = buffer;
    handle->writes = mux_buffer_writable_here(buffer);
    mux_handle_enter(handle, MUX_HANDLE_WAITING);
    mux_buffer_join(buffer, handle, true);
    relay->memory->create(buffer);
}

// Of what he does not see: as if it were not there.
static void refuse_stranger(MuxHandle *handle, const MuxBuffer *buffer)
{
    if (buffer->ours)
        mux_handle_refuse(handle, "no-buffer", "it belongs to another user on this side");
    else
        mux_handle_refuse(handle, "denied", MUX_BUFFER_NOT_LET);
}

// `write`: NULL: as much as it may.
static void open_buffer(MuxHandle *handle, const char *name, const bool *write)
{
    MuxBufferError error;
    MuxLink *link = mux_buffers_link(mux_handle_relay(handle), &name, &error);

    if (!link) {
        refuse(handle, &error);
        return;
    }
    MuxBuffer *buffer = mux_buffers_find(link, name);
    if (!buffer || buffer->state != MUX_BUFFER_READY) {
        mux_handle_refuse(handle, "no-buffer", "there is no such buffer");
        return;
    }
    if (!mux_buffer_may_open(buffer, &handle->peer)) {
        refuse_stranger(handle, buffer);
        return;
    }
    bool writable = mux_buffer_writable_here(buffer);
    if (write && *write && !writable) {
        mux_handle_refuse(handle, "denied",
                          mux_buffer_is_shared(buffer)
                              ? "it is another VM's, and read only here"
                              : "it is read only for this side (its maker said so)");
        return;
    }
    handle->buffer = buffer;
    handle->writes = write ? *write : writable;
    mux_buffer_join(buffer, handle, false);
    mux_handle_grant(handle);
}

static bool read_create(json_object *request, MuxBufferWish *wish, GError **error)
{
    static const char *const known[] = {"create",        "size", "properties",
                                        "read_only_for", "from", NULL};

    return mux_json_known(request, known, error) &&
           mux_json_string(request, "create", &wish->name, error) &&
           mux_json_number(request, "size", 0, G_MAXINT64, &wish->size, error) &&
           mux_json_object(request, "properties", &wish->properties, error) &&
           mux_json_string(request, "read_only_for", &wish->read_only_for, error) &&
           mux_json_string(request, "from", &wish->from, error);
}

static bool read_open(json_object *request, const char **ret_name, const bool **ret_write,
                      GError **error)
{
    static const char *const known[] = {"open", "write", NULL};
    static const bool values[] = {false, true};
    json_object *write = NULL;

    if (!mux_json_known(request, known, error) ||
        !mux_json_string(request, "open", ret_name, error))
        return false;
    if (!json_object_object_get_ex(request, "write", &write))
        return true;
    if (!json_object_is_type(write, json_type_boolean)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "\"write\" must be true or false");
        return false;
    }
    *ret_write = &values[json_object_get_boolean(write) ? 1 : 0];
    return true;
}

static void run(MuxHandle *handle, json_object *request, GError **error)
{
    static const char *const known[] = {"create",        "open", "size",  "properties",
                                        "read_only_for", "from", "write", NULL};
    MuxBufferWish wish = {0};
    const char *name = NULL;
    const bool *write = NULL;

    if (json_object_object_get_ex(request, "create", NULL)) {
        if (read_create(request, &wish, error))
            create(handle, &wish);
    } else if (json_object_object_get_ex(request, "open", NULL)) {
        if (read_open(request, &name, &write, error))
            open_buffer(handle, name, write);
    } else if (mux_json_known(request, known, error)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "\"create\" or \"open\" must be there, with a name");
    }
}

void mux_handle_request(MuxHandle *handle, const char *untrusted_text, size_t length)
{
    g_autoptr(GError) error = NULL;
    json_object *request = mux_json_parse(untrusted_text, length, &error);

    if (request)
        run(handle, request, &error);
    json_object_put(request);
    if (error)
        mux_handle_refuse(handle, "bad-request", error->message);
}
