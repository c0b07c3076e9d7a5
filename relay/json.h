// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// JSON that people or peers wrote: bounded in size and depth, every key known, every type checked,
// and each error names the file and the key.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#define MUX_JSON_FILE_MAX (1024 * 1024)
#define MUX_JSON_DEPTH    16

// An object in a file. NULL with an error that has the file's name and the place.
json_object *mux_json_load(const char *file, GError **error);
// Puts the file's name, and the line, in front of an error about an object that was loaded from it.
void mux_json_blame(json_object *object, const char *file, GError **error);
// The line of what an error's message is about, which it begins with: "KEY", or
// "KEY": number 2: "KEY" and so on. If the last of them is not there, of what it would be in.
guint mux_json_line(const char *text, const char *message);
#define MUX_JSON_NUMBER "number " // of a list's item in such a message, from 1
// An object in `length` bytes. NULL with an error.
json_object *mux_json_parse(const char *text, size_t length, GError **error);

// Whether every key of `object` is one of `known` (ended by NULL). False with an error.
bool mux_json_known(json_object *object, const char *const *known, GError **error);

// Whether it is a string without a NUL, which would end it early.
bool mux_json_is_text(json_object *value);

// The value of a key: *ret is set when it is there. False with an error when it has another type.
// Strings are lent by the object; lists of strings are the caller's (g_strfreev).
bool mux_json_string(json_object *object, const char *key, const char **ret, GError **error);
bool mux_json_strings(json_object *object, const char *key, char ***ret, GError **error);
bool mux_json_number(json_object *object, const char *key, guint64 min, guint64 max, guint64 *ret,
                     GError **error);
bool mux_json_object(json_object *object, const char *key, json_object **ret, GError **error);
