// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Errors are G_IO_ERROR_INVALID_DATA and begin with the key; mux_json_blame() puts file and line in
// front. A loaded object keeps its text for that.

#include "json.h"

#include <gio/gio.h>
#include <string.h>

static bool complain(GError **error, const char *key, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" %s", key, what);
    return false;
}

static guint line_of(const char *text, size_t offset)
{
    guint line = 1;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

json_object *mux_json_parse(const char *text, size_t length, GError **error)
{
    json_tokener *tokener = json_tokener_new_ex(MUX_JSON_DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object *object = json_tokener_parse_ex(tokener, text, (int)length);
    enum json_tokener_error result = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);

    size_t rest = end;
    while (object && rest < length && g_ascii_isspace(text[rest]))
        rest++;
    if (object && rest == length && json_object_is_type(object, json_type_object))
        return object;
    const char *what = result == json_tokener_continue  ? "the end is missing"
                       : result != json_tokener_success ? json_tokener_error_desc(result)
                       : rest < length                  ? "something follows the object"
                                                        : "it is not an object";
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "line %u: %s", line_of(text, end),
                what);
    json_object_put(object);
    return NULL;
}

static void free_text(json_object *object, void *text)
{
    (void)object;
    g_free(text);
}

json_object *mux_json_load(const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;
    g_autoptr(GFile) gfile = g_file_new_for_path(file);
    g_autoptr(GFileInfo) info =
        g_file_query_info(gfile, G_FILE_ATTRIBUTE_STANDARD_SIZE "," G_FILE_ATTRIBUTE_STANDARD_TYPE,
                          G_FILE_QUERY_INFO_NONE, NULL, error);

    if (!info) {
        g_prefix_error(error, "%s: ", file);
        return NULL;
    }
    // Asked first: a FIFO would block, and a huge file would be read.
    if (g_file_info_get_file_type(info) != G_FILE_TYPE_REGULAR ||
        g_file_info_get_size(info) > MUX_JSON_FILE_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: a regular file of at most %d bytes is wanted", file, MUX_JSON_FILE_MAX);
        return NULL;
    }
    if (!g_file_get_contents(file, &text, &length, error))
        return NULL; // the error names the file
    json_object *object = mux_json_parse(text, length, error);
    if (object)
        json_object_set_userdata(object, g_steal_pointer(&text), free_text);
    else
        g_prefix_error(error, "%s: ", file);
    return object;
}

// Whether it is about what is written there: that, or what came of it, begins with the key.
static bool has_line(const GError *error)
{
    return error->message[0] == '"' || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

void mux_json_blame(json_object *object, const char *file, GError **error)
{
    const char *text = json_object_get_userdata(object);

    if (text && error && *error && has_line(*error))
        g_prefix_error(error, "line %u: ", mux_json_line(text, (*error)->message));
    g_prefix_error(error, "%s: ", file);
}

bool mux_json_known(json_object *object, const char *const *known, GError **error)
{
    json_object_object_foreach(object, key, value)
    {
        (void)value;
        if (!g_strv_contains(known, key)) {
            g_autofree char *all = g_strjoinv(", ", (char **)known);
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"%s\" is not a key that is known here; known are: %s", key, all);
            return false;
        }
    }
    return true;
}

bool mux_json_is_text(json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

bool mux_json_string(json_object *object, const char *key, const char **ret, GError **error)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    if (!mux_json_is_text(value))
        return complain(error, key, "must be a string");
    *ret = json_object_get_string(value);
    return true;
}

bool mux_json_strings(json_object *object, const char *key, char ***ret, GError **error)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    if (!json_object_is_type(value, json_type_array) || json_object_array_length(value) == 0)
        return complain(error, key, "must be a list of strings, with at least one");

    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        json_object *item = json_object_array_get_idx(value, i);
        if (!mux_json_is_text(item))
            return complain(error, key, "must be a list of strings");
        g_strv_builder_add(builder, json_object_get_string(item));
    }
    *ret = g_strv_builder_end(builder);
    return true;
}

bool mux_json_number(json_object *object, const char *key, guint64 min, guint64 max, guint64 *ret,
                     GError **error)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    gint64 number = json_object_get_int64(value);
    if (!json_object_is_type(value, json_type_int) || number < 0 || (guint64)number < min ||
        (guint64)number > max) {
        g_autofree char *what = g_strdup_printf(
            "must be a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, min, max);
        return complain(error, key, what);
    }
    *ret = (guint64)number;
    return true;
}

bool mux_json_object(json_object *object, const char *key, json_object **ret, GError **error)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    if (!json_object_is_type(value, json_type_object))
        return complain(error, key, "must be an object");
    *ret = value;
    return true;
}
