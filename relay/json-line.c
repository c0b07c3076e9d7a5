// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Where a key is: the text is gone through again along the keys that an error begins with. The text
// was good JSON when it was parsed, so here it is only skipped. A key that the text writes with
// escapes is not found, and then it is what it would be in.

#include <string.h>

#include "json.h"

static const char *skip_space(const char *p)
{
    while (g_ascii_isspace(*p))
        p++;
    return p;
}

// From a string's first quote to behind its last.
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

static const char *skip_colon(const char *p)
{
    return skip_space(*p == ':' ? p + 1 : p);
}

static const char *skip_value(const char *p)
{
    unsigned depth = 0;

    while (*p && (depth > 0 || !strchr(",]}", *p))) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        if (strchr("{[", *p))
            depth++;
        else if (strchr("]}", *p))
            depth--;
        p++;
    }
    return p;
}

// The last of that name counts, as it does for the parser. NULL when there is none.
static const char *find_key(const char *object, const char *key, size_t length)
{
    const char *found = NULL;
    const char *p = *object == '{' ? skip_space(object + 1) : "";

    while (*p == '"') {
        const char *end = skip_string(p);
        if ((size_t)(end - p) == length + 2 && memcmp(p + 1, key, length) == 0)
            found = p;
        p = skip_value(end);
        p = *p == ',' ? skip_space(p + 1) : p;
    }
    return found;
}

static const char *find_item(const char *list, guint64 number)
{
    const char *p = *list == '[' ? skip_space(list + 1) : "";

    while (*p && *p != ']' && --number > 0) {
        p = skip_value(p);
        p = *p == ',' ? skip_space(p + 1) : p;
    }
    return *p && *p != ']' ? p : NULL;
}

// One step into `value`, along "KEY" or number N at *message, which goes on behind it. Where that
// is, or NULL.
static const char *step(const char *value, const char **message)
{
    const char *found = NULL;
    char *end = NULL;

    if (**message == '"') {
        end = strchr(*message + 1, '"');
        if (end)
            found = find_key(value, *message + 1, (size_t)(end++ - *message) - 1);
    } else if (g_str_has_prefix(*message, MUX_JSON_NUMBER)) {
        guint64 number = g_ascii_strtoull(*message + strlen(MUX_JSON_NUMBER), &end, 10);
        found = find_item(value, number);
    }
    *message = end && g_str_has_prefix(end, ": ") ? end + 2 : "";
    return found;
}

guint mux_json_line(const char *text, const char *message)
{
    const char *place = skip_space(text), *value = place;
    guint line = 1;

    for (const char *found; (found = step(value, &message));) {
        place = value = found;
        if (*message == '\0')
            break;
        if (*found == '"') // a key: into what it stands for
            value = skip_colon(skip_space(skip_string(found)));
    }
    for (const char *p = text; p < place; p++)
        line += *p == '\n';
    return line;
}
