// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Looking at a text that mux_client_json_check() has passed. All here relies on that: it looks for
// ends without asking again whether they are there. Values are made here and in the check alone.

#include "json.h"

#include <string.h>

#include "json-cursor.h"

static bool starts_with(MuxClientJson value, char c)
{
    return value.length > 0 && *value.at == c;
}

bool mux_client_json_is_object(MuxClientJson value)
{
    return starts_with(value, '{');
}

bool mux_client_json_is_array(MuxClientJson value)
{
    return starts_with(value, '[');
}

bool mux_client_json_is_true(MuxClientJson value)
{
    return starts_with(value, 't');
}

static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

// A string, an object or an array.
static const char *skip_value(const char *at)
{
    unsigned depth = 0;

    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
    } while (depth > 0);
    return at;
}

static const char *skip_any(MuxClientCursor cursor)
{
    if (*cursor.at == '"' || *cursor.at == '{' || *cursor.at == '[')
        return skip_value(cursor.at);
    while (cursor.at < cursor.end && !is_blank(*cursor.at) && !strchr(",]}", *cursor.at))
        cursor.at++;
    return cursor.at;
}

static MuxClientJson take_value(MuxClientCursor *cursor)
{
    const char *from = cursor->at;

    cursor->at = skip_any(*cursor);
    return (MuxClientJson){from, (size_t)(cursor->at - from)};
}

bool mux_client_json_next(MuxClientJson list, MuxClientJson *at, MuxClientJson *ret_key,
                          MuxClientJson *ret_value)
{
    bool object = mux_client_json_is_object(list);
    MuxClientJson key = {0};

    if (!object && !mux_client_json_is_array(list))
        return false;
    MuxClientCursor cursor = {at->at ? at->at + at->length : list.at + 1,
                              list.at + list.length - 1};
    skip_blanks(&cursor);
    (void)take(&cursor, ',');
    skip_blanks(&cursor);
    if (cursor.at == cursor.end)
        return false;
    if (object) {
        key = take_value(&cursor);
        skip_blanks(&cursor);
        (void)take(&cursor, ':');
        skip_blanks(&cursor);
    }
    *ret_value = *at = take_value(&cursor);
    if (ret_key)
        *ret_key = key;
    return true;
}

MuxClientJson mux_client_json_get(MuxClientJson object, const char *key)
{
    MuxClientJson name, value;

    if (mux_client_json_is_object(object))
        for (MuxClientJson at = {0}; mux_client_json_next(object, &at, &name, &value);)
            if (mux_client_json_equals(name, key))
                return value;
    return (MuxClientJson){0};
}
