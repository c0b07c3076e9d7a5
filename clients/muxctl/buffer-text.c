// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the daemon says of a buffer, as words for people.

#include <string.h>

#include "buffer.h"
#include "text.h"

#define KIBI 1024

char *muxctl_buffer_name(json_object *answer, json_object *buffer)
{
    bool host = strcmp(muxctl_word(answer, "daemon"), "hostmux") == 0;
    const char *name = muxctl_text(buffer, "name");

    return host ? g_strdup_printf("%s/%s", muxctl_text(buffer, "link"), name) : g_strdup(name);
}

char *muxctl_buffer_size(json_object *buffer)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)muxctl_number(buffer, "size");
    size_t unit = 0;

    for (; size >= KIBI && unit + 1 < G_N_ELEMENTS(units); unit++)
        size /= KIBI;
    return g_strdup_printf(size == (double)(guint64)size ? "%.0f%s" : "%.1f%s", size, units[unit]);
}

char *muxctl_buffer_reason(const char *reason)
{
    static const char *const known[][2] = {
        {"owner", "its owner is gone"},
        {"reset", "the other side's daemon started anew"},
        {"link-down", "the link to the other side is down"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (strcmp(known[i][0], reason) == 0)
            return g_strdup_printf("%s (%s)", reason, known[i][1]);
    return muxctl_printable(reason);
}

char *muxctl_buffer_owner(json_object *buffer)
{
    json_object *owner = muxctl_get(buffer, "owner");
    const char *side = muxctl_text(owner, "side");

    if (!muxctl_get(owner, "uid") && !muxctl_get(owner, "program"))
        return g_strdup(side);
    g_autofree char *caller = muxctl_caller(owner);
    return g_strdup_printf("%s %s", side, caller);
}

const char *muxctl_buffer_writers(json_object *buffer)
{
    const char *readers = muxctl_word(buffer, "read_only_for");

    if (strcmp(readers, "both") == 0) // shared from another VM
        return "owner";
    if (strcmp(readers, "guest") == 0)
        return "host";
    return strcmp(readers, "host") == 0 ? "guest" : "both";
}

const char *muxctl_buffer_property(json_object *buffer, const char *name)
{
    return muxctl_word(muxctl_get(buffer, "properties"), name);
}

static void add_word(json_object *object, const char *key, const char *word)
{
    if (word)
        json_object_object_add(object, key, json_object_new_string(word));
}

json_object *muxctl_buffer_properties(const MuxClientBufferInfo *info)
{
    json_object *properties = json_object_new_object();

    for (size_t i = 0; i < info->n_properties; i++)
        add_word(properties, info->properties[i].name, info->properties[i].value);
    return properties;
}

static json_object *owner_json(const MuxClientBufferInfo *info)
{
    json_object *owner = json_object_new_object();

    add_word(owner, "side", info->owner_side);
    if (info->owner.known && info->owner.uid != MUX_CLIENT_NO_ID)
        json_object_object_add(owner, "uid", json_object_new_uint64(info->owner.uid));
    if (info->owner.known && info->owner.gid != MUX_CLIENT_NO_ID)
        json_object_object_add(owner, "gid", json_object_new_uint64(info->owner.gid));
    if (info->owner.known && info->owner.program[0] != '\0')
        add_word(owner, "program", info->owner.program);
    return owner;
}

json_object *muxctl_buffer_json(const MuxClientBufferInfo *info)
{
    json_object *buffer = json_object_new_object();

    add_word(buffer, "name", info->buffer);
    add_word(buffer, "link", info->link);
    add_word(buffer, "id", info->id);
    json_object_object_add(buffer, "size", json_object_new_uint64(info->size));
    add_word(buffer, "state", info->state);
    json_object_object_add(buffer, "owner", owner_json(info));
    add_word(buffer, "read_only_for", info->read_only_for);
    add_word(buffer, "node", info->node);
    json_object_object_add(buffer, "properties", muxctl_buffer_properties(info));
    return buffer;
}
