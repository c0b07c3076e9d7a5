// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Reading JSON without an allocation: a text is checked once, as a whole, and then looked at where
// it lies. Depth is bounded; the size is the caller's to bound.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_CLIENT_JSON_DEPTH 16

// A value of a checked text, which must stay as it is meanwhile. {NULL, 0} is no value: nothing can
// be got out of it, and it is a value of no kind.
typedef struct MuxClientJson {
    const char *at; // its first byte
    size_t length;
} MuxClientJson;

// Whether the text is one JSON value as RFC 8259 has it, with blanks around it. But bytes beyond
// ASCII may be anything within strings: they are not looked at.
bool mux_client_json_check(const char *text, size_t length, MuxClientJson *ret_value);

bool mux_client_json_is_object(MuxClientJson value);
bool mux_client_json_is_array(MuxClientJson value);
bool mux_client_json_is_true(MuxClientJson value);

// The value of an object's key, the first one if there are several; no value if there is none.
MuxClientJson mux_client_json_get(MuxClientJson object, const char *key);

// Goes through an object or an array, and through nothing if the value is neither:
//     for (MuxClientJson at = {0}; mux_client_json_next(list, &at, &key, &value);)
// `at` is where it is. `ret_key` is no value in an array, and may be NULL.
bool mux_client_json_next(MuxClientJson list, MuxClientJson *at, MuxClientJson *ret_key,
                          MuxClientJson *ret_value);

// A string, decoded and ended with NUL; the length is without that. False if it is no string, has a
// NUL in it, or is too long. A string needs no more room than its value's length.
bool mux_client_json_string(MuxClientJson value, char *to, size_t room, size_t *ret_length);

// Whether it is this string.
bool mux_client_json_equals(MuxClientJson value, const char *text);

// A number that is written as digits alone, and not more than `max`.
bool mux_client_json_number(MuxClientJson value, uint64_t max, uint64_t *ret_number);
