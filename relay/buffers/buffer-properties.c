// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer's properties: names and values that are strings, for programs. What is put in is checked
// as a whole, and nothing is changed when it cannot be. What was changed in a turn is told at its
// end, once.

#include <gio/gio.h>
#include <string.h>

#include "buffers-private.h"
#include "relay/json.h"
#include "relay/link.h"

#define KEY_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool complain(GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"properties\": %s", what);
    return false;
}

static bool check_one(const char *key, json_object *value, GError **error)
{
    size_t length = strlen(key);

    if (length == 0 || length > MUX_BUFFER_KEY_MAX || strspn(key, KEY_CHARACTERS) != length)
        return complain(error, "a name is 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!mux_json_is_text(value))
        return complain(error, "a value must be a string");
    return true;
}

static bool check(json_object *properties, GError **error)
{
    size_t bytes = 0;

    if (!json_object_is_type(properties, json_type_object))
        return complain(error, "must be an object");
    if (json_object_object_length(properties) > MUX_BUFFER_PROPERTIES)
        return complain(error, "there can be 32");
    json_object_object_foreach(properties, key, value)
    {
        if (!check_one(key, value, error))
            return false;
        bytes += strlen(key) + (size_t)json_object_get_string_len(value);
    }
    return bytes <= MUX_BUFFER_TEXT_MAX || complain(error, "are more than 4096 bytes");
}

// Not the object itself, which may be part of a bigger one, or be changed.
static json_object *copy(json_object *object)
{
    json_object *other = NULL;

    (void)json_object_deep_copy(object, &other, NULL);
    return other;
}

bool mux_buffer_put_properties(MuxBuffer *buffer, json_object *untrusted, GError **error)
{
    if (!check(untrusted, error))
        return false;
    json_object_put(buffer->properties);
    buffer->properties = copy(untrusted);
    return true;
}

static void attend(MuxBuffer *buffer)
{
    buffer->changed = true;
    mux_loop_defer(buffer->link->relay->loop, &buffer->job);
}

bool mux_buffer_changed(MuxBuffer *buffer, json_object *untrusted_properties, GError **error)
{
    if (json_object_equal(buffer->properties, untrusted_properties))
        return true;
    if (!mux_buffer_put_properties(buffer, untrusted_properties, error))
        return false;
    attend(buffer);
    return true;
}

// What differs of `changes`. The caller's.
static json_object *news(const MuxBuffer *buffer, json_object *changes)
{
    json_object *differing = json_object_new_object(), *before;

    json_object_object_foreach(changes, key, value)
    {
        bool there = json_object_object_get_ex(buffer->properties, key, &before);
        if (value ? !there || !json_object_equal(value, before) : there)
            json_object_object_add(differing, key, json_object_get(value));
    }
    return differing;
}

// Null removes a property, or stands for that it is to be removed.
static void merge(json_object *into, json_object *changes, bool keep_null)
{
    json_object_object_foreach(changes, key, value)
    {
        if (value || keep_null)
            json_object_object_add(into, key, json_object_get(value));
        else
            json_object_object_del(into, key);
    }
}

static void remember(MuxBuffer *buffer, json_object *differing)
{
    if (!buffer->changes)
        buffer->changes = json_object_new_object();
    merge(buffer->changes, differing, true);
}

bool mux_buffer_set(MuxBuffer *buffer, json_object *untrusted_changes, bool here, GError **error)
{
    if (!json_object_is_type(untrusted_changes, json_type_object))
        return complain(error, "must be an object");
    json_object *differing = news(buffer, untrusted_changes);
    json_object *merged = copy(buffer->properties);
    merge(merged, differing, false);
    bool good = mux_buffer_put_properties(buffer, merged, error);
    if (good && json_object_object_length(differing) > 0) {
        if (here)
            remember(buffer, differing);
        attend(buffer);
    }
    json_object_put(merged);
    json_object_put(differing);
    return good;
}

const char *mux_buffer_application(const MuxBuffer *buffer)
{
    json_object *value;

    return json_object_object_get_ex(buffer->properties, "application", &value)
               ? json_object_get_string(value)
               : NULL;
}
