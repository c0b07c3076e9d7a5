// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See buffer-json.h.

#include "buffer-json.h"

#include "relay/link.h"
#include "relay/memory.h"

static void add_string(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static void add_number(json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static json_object *owner_json(const MuxBuffer *buffer)
{
    json_object *object = json_object_new_object();

    add_string(object, "side", buffer->owner);
    if (buffer->uid != (uid_t)-1) {
        add_number(object, "uid", buffer->uid);
        add_number(object, "gid", buffer->gid);
        add_string(object, "program", buffer->program);
    }
    return object;
}

static void add_id(json_object *object, uint64_t id)
{
    g_autofree char *text = id ? g_strdup_printf("%016" G_GINT64_MODIFIER "x", id) : NULL;

    add_string(object, "id", text);
}

json_object *mux_buffer_json(const MuxBuffer *buffer)
{
    static const char *const states[] = {[MUX_BUFFER_MAKING] = "making",
                                         [MUX_BUFFER_READY] = "ready",
                                         [MUX_BUFFER_GOING] = "going",
                                         [MUX_BUFFER_HELD] = "held"};
    json_object *object = json_object_new_object();
    json_object *properties = NULL;

    add_string(object, "name", buffer->name);
    add_string(object, "link", buffer->link->name);
    add_id(object, buffer->id);
    add_number(object, "size", buffer->size);
    add_string(object, "state", states[buffer->state]);
    json_object_object_add(object, "owner", owner_json(buffer));
    if (!buffer->host_writes || !buffer->guest_writes)
        add_string(object, "read_only_for",
                   buffer->host_writes    ? "guest"
                   : buffer->guest_writes ? "host"
                                          : "both");
    // As it is now, whatever becomes of it while the line waits.
    (void)json_object_deep_copy(buffer->properties, &properties, NULL);
    json_object_object_add(object, "properties", properties);
    add_number(object, "handles", buffer->n_handles);
    add_number(object, "notices", buffer->notices);
    if (buffer->node_path)
        add_string(object, "node", buffer->node_path);
    return object;
}
