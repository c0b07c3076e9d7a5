// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is shown to people: words of a JSON object made harmless, numbers made short.

#include "text.h"

#include <stdio.h>
#include <string.h>

char *muxctl_printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *shown = g_string_new(NULL);

    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        g_string_append_unichar(shown, g_unichar_isprint(character) ? character : '?');
    }
    return g_string_free(shown, FALSE);
}

json_object *muxctl_get(json_object *object, const char *key)
{
    json_object *value = NULL;

    if (json_object_is_type(object, json_type_object))
        (void)json_object_object_get_ex(object, key, &value);
    return value;
}

const char *muxctl_word(json_object *object, const char *key)
{
    json_object *value = muxctl_get(object, key);

    if (json_object_is_type(value, json_type_string)) {
        g_autofree char *shown = muxctl_printable(json_object_get_string(value));
        json_object_set_string(value, shown);
    }
    return value ? json_object_get_string(value) : "";
}

const char *muxctl_text(json_object *object, const char *key)
{
    return muxctl_get(object, key) ? muxctl_word(object, key) : "-";
}

guint64 muxctl_number(json_object *object, const char *key)
{
    return json_object_get_uint64(muxctl_get(object, key));
}

char *muxctl_human(guint64 bytes)
{
    static const char units[] = " kMGTPE";
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < strlen(units)) {
        value /= 1000;
        unit++;
    }
    if (unit == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
    return g_strdup_printf("%.1f%c", value, units[unit]);
}

char *muxctl_caller(json_object *caller)
{
    json_object *uid = muxctl_get(caller, "uid"), *program = muxctl_get(caller, "program");

    if (!uid)
        return g_strdup(muxctl_text(caller, "program"));
    if (!program)
        return g_strdup_printf("uid %s", muxctl_text(caller, "uid"));
    return g_strdup_printf("%s(%s)", muxctl_text(caller, "program"), muxctl_text(caller, "uid"));
}

char *muxctl_properties(json_object *properties)
{
    GString *text = g_string_new(NULL);

    if (!json_object_is_type(properties, json_type_object))
        return g_string_free(text, FALSE);
    json_object_object_foreach(properties, key, value)
    {
        (void)value;
        g_autofree char *name = muxctl_printable(key);
        g_string_append_printf(text, "%s%s=%s", text->len > 0 ? " " : "", name,
                               muxctl_word(properties, key));
    }
    return g_string_free(text, FALSE);
}

// Such characters are only in strings, where JSON has another way to write them.
char *muxctl_json(json_object *object, int flags)
{
    const char *text = json_object_to_json_string_ext(object, flags);
    GString *shown = g_string_new(NULL);

    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (character == '\n' || g_unichar_isprint(character))
            g_string_append_unichar(shown, character);
        else if (character < 0x10000)
            g_string_append_printf(shown, "\\u%04x", character);
        else
            g_string_append_printf(shown, "\\u%04x\\u%04x", 0xd7c0 + (character >> 10),
                                   0xdc00 + (character & 0x3ff));
    }
    return g_string_free(shown, FALSE);
}

void muxctl_print_json(json_object *object)
{
    g_autofree char *text =
        muxctl_json(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    (void)puts(text);
}
