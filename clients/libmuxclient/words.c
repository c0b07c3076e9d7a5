// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the other side wrote, made into C strings. What is not of the right kind is left out, since
// one property that makes no sense must not hide the service, nor one service the others.

#include "words.h"

#include <stdint.h>
#include <string.h>

const char *mux_client_words_add(MuxClientWords *words, MuxClientJson value)
{
    char *to = words->bytes + words->used;
    size_t length;

    if (!mux_client_json_string(value, to, words->room - words->used, &length))
        return NULL;
    words->used += length + 1;
    return to;
}

const char *mux_client_words_get(MuxClientWords *words, MuxClientJson object, const char *key)
{
    return mux_client_words_add(words, mux_client_json_get(object, key));
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

const char *mux_client_words_base64(MuxClientWords *words, MuxClientJson object, const char *key)
{
    size_t before = words->used;
    const char *from = mux_client_words_get(words, object, key);
    char *to = words->bytes + before; // in place, since it gets shorter
    uint32_t bits = 0;
    unsigned n = 0;
    size_t length = 0;

    if (!from)
        return NULL;
    for (; base64_digit(*from) >= 0; from++) {
        bits = bits << 6 | (uint32_t)base64_digit(*from);
        n += 6;
        if (n < 8)
            continue;
        n -= 8;
        to[length] = (char)(bits >> n & 0xFF);
        if (to[length++] == '\0')
            return NULL;
    }
    if (from[strspn(from, "=")] != '\0')
        return NULL;
    to[length] = '\0';
    return to;
}

size_t mux_client_words_count(MuxClientJson object)
{
    MuxClientJson value;
    size_t n = 0;

    if (mux_client_json_is_object(object))
        for (MuxClientJson at = {0};
             n < MUX_CLIENT_PROPERTIES_MAX && mux_client_json_next(object, &at, NULL, &value);)
            n++;
    return n;
}

size_t mux_client_words_properties(MuxClientWords *words, MuxClientJson object,
                                   MuxClientProperty properties[MUX_CLIENT_PROPERTIES_MAX])
{
    MuxClientJson key, value;
    size_t n = 0, left = mux_client_words_count(object);

    for (MuxClientJson at = {0}; left > 0 && mux_client_json_next(object, &at, &key, &value);
         left--) {
        MuxClientProperty property = {mux_client_words_add(words, key),
                                      mux_client_words_add(words, value)};
        if (property.name && property.value)
            properties[n++] = property;
    }
    return n;
}

static uint32_t get_id(MuxClientJson object, const char *key)
{
    uint64_t id = MUX_CLIENT_NO_ID;

    (void)mux_client_json_number(mux_client_json_get(object, key), UINT32_MAX, &id);
    return (uint32_t)id;
}

MuxClientCaller mux_client_words_caller(MuxClientJson value)
{
    MuxClientCaller caller = {.known = mux_client_json_is_object(value),
                              .uid = get_id(value, "uid"),
                              .gid = get_id(value, "gid")};
    size_t length = 0;

    if (!mux_client_json_string(mux_client_json_get(value, "program"), caller.program,
                                sizeof(caller.program), &length))
        caller.program[0] = '\0';
    return caller;
}
