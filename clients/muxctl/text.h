// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is shown to people: words of a JSON object made harmless, numbers made short.
#pragma once

#include <glib.h>
#include <json-c/json.h>

// What somebody on the other side chose must not control the terminal: a copy in which each
// character that is not printed is a '?'.
char *muxctl_printable(const char *text);

// The value of a key, lent by the object; NULL when there is none.
json_object *muxctl_get(json_object *object, const char *key);
// The same, as printable text; "-" when there is none. Lent by the object.
const char *muxctl_text(json_object *object, const char *key);
// The same, "" when there is none.
const char *muxctl_word(json_object *object, const char *key);
// The same, as a number; 0 when there is none.
guint64 muxctl_number(json_object *object, const char *key);

// 12, 3.4k, 5.6M: seven characters at most. To be freed.
char *muxctl_human(guint64 bytes);
// Who opens a channel or registered a service, from an object of uid, gid and program:
// "curl(1000)"; "-" when it is not known. To be freed.
char *muxctl_caller(json_object *caller);
// "version=2 vendor=x", from an object of strings. To be freed.
char *muxctl_properties(json_object *properties);

// An object as JSON text that holds nothing which controls a terminal. `flags`: json-c's. To be
// freed.
char *muxctl_json(json_object *object, int flags);
// Prints it over several lines.
void muxctl_print_json(json_object *object);
