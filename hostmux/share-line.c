// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Lines about named buffers: what the guest is told of one, and what it says.

#include <gio/gio.h>
#include <string.h>

#include "memory-private.h"
#include "relay/json.h"

// --- what is said

json_object *mux_share_line(MuxSay *say)
{
    MuxShare *share = mux_container(say, MuxShare, say);
    const MuxBuffer *buffer = share->buffer;
    json_object *line = json_object_new_object();

    if (buffer->state != MUX_BUFFER_READY) {
        json_object_put(line);
        return NULL;
    }
    json_object_object_add(line, "buffer", json_object_new_string(buffer->name));
    json_object_object_add(line, "device", mux_id_json(buffer->id));
    json_object_object_add(line, "size", json_object_new_int64((int64_t)buffer->size));
    json_object_object_add(line, "owner", json_object_new_string(buffer->owner));
    if (buffer->uid != (uid_t)-1)
        json_object_object_add(line, "uid", json_object_new_int64(buffer->uid));
    if (buffer->gid != (gid_t)-1)
        json_object_object_add(line, "gid", json_object_new_int64(buffer->gid));
    if (buffer->program[0])
        json_object_object_add(line, "program", json_object_new_string(buffer->program));
    if (!buffer->guest_writes || !buffer->host_writes)
        json_object_object_add(line, "read_only_for",
                               json_object_new_string(buffer->guest_writes ? "host" : "guest"));
    json_object_object_add(line, "properties", json_object_get(buffer->properties));
    if (share->asked)
        json_object_object_add(line, "request", json_object_new_int64(share->request));
    share->asked = false;
    return line;
}

void mux_share_begin(MuxVm *vm)
{
    for (MuxBuffer *b = NULL; (b = mux_buffers_next(vm->link, b));) {
        MuxShare *share = b->memory;
        if (share && b->state == MUX_BUFFER_READY)
            mux_say(vm, &share->say);
    }
}

// --- what the guest says

static bool take_create(MuxVm *vm, json_object *untrusted_line, GError **error)
{
    json_object *request = mux_get(untrusted_line, "request");
    json_object *size = mux_get(untrusted_line, "size");
    int64_t bytes = json_object_is_type(size, json_type_int) ? json_object_get_int64(size) : 0;
    const char *program = mux_text(untrusted_line, "program");
    const MuxBufferFacts facts = {.name = mux_text(untrusted_line, "create"),
                                  .size = bytes > 0 ? (uint64_t)bytes : 0,
                                  .owner = "guest",
                                  .uid = mux_number(untrusted_line, "uid"),
                                  .gid = mux_number(untrusted_line, "gid"),
                                  .program = program ? program : "",
                                  .read_only_for = mux_text(untrusted_line, "read_only_for"),
                                  .properties = mux_get(untrusted_line, "properties")};
    MuxBufferError why = {"bad-name", "it has no name"};
    MuxBuffer *buffer = facts.name ? mux_buffers_add(vm->link, &facts, &why) : NULL;
    int64_t number_of = json_object_get_int64(request);

    if (buffer) {
        MuxShare *share = mux_share_new(vm, buffer);
        share->asked = true;
        share->request = number_of;
        if (mux_share_make(share, &why))
            return true;
        mux_share_unmake(share);
        mux_buffer_fail(buffer, why.code, why.text);
    }
    if (mux_say_error(vm, number_of, why.code, why.text))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "it asks, and does not read answers");
    return false;
}

static bool take_set(MuxBuffer *buffer, json_object *untrusted_line, GError **error)
{
    MuxShare *share = buffer->memory;

    if (buffer->state != MUX_BUFFER_READY || !buffer->guest_writes || !share)
        return true;
    json_object *properties = mux_get(untrusted_line, "properties");
    bool all = json_object_get_boolean(mux_get(untrusted_line, "all"));
    // Both sides change them, and each knows of the other's late: what fitted there may not fit
    // here. Then nothing is changed, and the guest is told what is.
    g_autoptr(GError) misfit = NULL;
    (void)error;
    (void)(all ? mux_buffer_changed(buffer, properties, &misfit)
               : mux_buffer_set(buffer, properties, false, &misfit));
    mux_share_changed(share); // what they are now, also where both sides changed them
    return true;
}

// One of those that programs are told, and that is the guest's to say.
static const char *reason_of(const MuxBuffer *buffer, json_object *untrusted_line)
{
    static const char *const reasons[] = {"released", "owner"};
    json_object *said = mux_get(untrusted_line, "reason");

    if (strcmp(buffer->owner, "guest") != 0)
        return "reset";
    for (size_t i = 0; mux_json_is_text(said) && i < G_N_ELEMENTS(reasons); i++)
        if (strcmp(json_object_get_string(said), reasons[i]) == 0)
            return reasons[i];
    return said ? "reset" : "owner";
}

// Its owner in the guest is gone; or the guest does not know it, having started anew.
static void take_release(MuxBuffer *buffer, json_object *untrusted_line)
{
    MuxShare *share = buffer->memory;
    uint64_t id;

    // Another of that name may be there by now. One without an id was given up while it was made.
    if (mux_get_id(untrusted_line, "device", &id) ? id != buffer->id : !share || !share->asked)
        return;
    const char *reason = reason_of(buffer, untrusted_line);
    mux_buffer_gone(buffer, reason);
    if (share)
        mux_share_end(share, reason);
}

bool mux_share_take(MuxVm *vm, const char *what, json_object *untrusted_line, GError **error)
{
    if (strcmp(what, "create") == 0)
        return take_create(vm, untrusted_line, error);
    const char *name = mux_text(untrusted_line, what);
    MuxBuffer *buffer = name ? mux_buffers_find(vm->link, name) : NULL;
    if (!buffer)
        return true; // it went meanwhile
    if (strcmp(what, "set") == 0)
        return take_set(buffer, untrusted_line, error);
    take_release(buffer, untrusted_line);
    return true;
}
