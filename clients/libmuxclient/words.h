// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Strings of a JSON text, decoded into memory that the caller has. Properties and callers are made
// of them.
#pragma once

#include <stddef.h>

#include "json.h"
#include "muxclient.h"

// More properties than a service may have are left out.
#define MUX_CLIENT_PROPERTIES_MAX 32

// Where decoded strings go, one behind the other. All strings of a text fit into as many bytes as
// the text has.
typedef struct MuxClientWords {
    char *bytes;
    size_t room;
    size_t used;
} MuxClientWords;

// The string; NULL if it is none, or has a NUL in it.
const char *mux_client_words_add(MuxClientWords *words, MuxClientJson value);

// The object's key, likewise.
const char *mux_client_words_get(MuxClientWords *words, MuxClientJson object, const char *key);

// The object's key in base64, likewise.
const char *mux_client_words_base64(MuxClientWords *words, MuxClientJson object, const char *key);

// Those of an object's keys that are properties: name and value are strings. Returns how many.
size_t mux_client_words_properties(MuxClientWords *words, MuxClientJson object,
                                   MuxClientProperty properties[MUX_CLIENT_PROPERTIES_MAX]);

// At most so many properties will be found in it.
size_t mux_client_words_count(MuxClientJson object);

// Who called; not known if the value is no object.
MuxClientCaller mux_client_words_caller(MuxClientJson value);
