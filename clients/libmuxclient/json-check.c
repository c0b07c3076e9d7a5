// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Goes over a whole text once. What is open is one bit for each object or array, so nothing
// recurses and no text can use up the stack.

#include <string.h>

#include "json-cursor.h"
#include "json.h"

static bool check_escape(MuxClientCursor *cursor)
{
    if (cursor->at == cursor->end)
        return false;
    char c = *cursor->at++;
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c);
    for (int i = 0; i < 4; i++, cursor->at++)
        if (cursor->at == cursor->end || hex_digit(*cursor->at) < 0)
            return false;
    return true;
}

static bool check_string(MuxClientCursor *cursor)
{
    if (!take(cursor, '"'))
        return false;
    while (cursor->at < cursor->end) {
        char c = *cursor->at++;
        if (c == '"')
            return true;
        if ((unsigned char)c < 0x20 || (c == '\\' && !check_escape(cursor)))
            return false;
    }
    return false;
}

static bool check_digits(MuxClientCursor *cursor)
{
    const char *from = cursor->at;

    while (cursor->at < cursor->end && is_digit(*cursor->at))
        cursor->at++;
    return cursor->at > from;
}

static bool check_number(MuxClientCursor *cursor)
{
    (void)take(cursor, '-');
    if (!take(cursor, '0') && !check_digits(cursor))
        return false;
    if (take(cursor, '.') && !check_digits(cursor))
        return false;
    if (!take(cursor, 'e') && !take(cursor, 'E'))
        return true;
    if (!take(cursor, '+'))
        (void)take(cursor, '-');
    return check_digits(cursor);
}

static bool check_word(MuxClientCursor *cursor, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

static bool check_scalar(MuxClientCursor *cursor)
{
    switch (*cursor->at) {
    case '"':
        return check_string(cursor);
    case 't':
        return check_word(cursor, "true");
    case 'f':
        return check_word(cursor, "false");
    case 'n':
        return check_word(cursor, "null");
    default:
        return check_number(cursor);
    }
}

// What is open: bit 0 is the innermost, 1 for an object.
typedef struct Nest {
    unsigned depth;
    uint32_t objects;
} Nest;

static bool check_key(MuxClientCursor *cursor)
{
    skip_blanks(cursor);
    if (!check_string(cursor))
        return false;
    skip_blanks(cursor);
    return take(cursor, ':');
}

// Behind a bracket that opens. True in *ret_empty if the one that closes it follows at once.
static bool check_open(MuxClientCursor *cursor, Nest *nest, bool object, bool *ret_empty)
{
    cursor->at++;
    skip_blanks(cursor);
    *ret_empty = take(cursor, object ? '}' : ']');
    if (*ret_empty)
        return true;
    if (nest->depth == MUX_CLIENT_JSON_DEPTH)
        return false;
    nest->depth++;
    nest->objects = nest->objects << 1 | object;
    return !object || check_key(cursor);
}

// Behind a value: closes what ends here. False if something is wrong; on true either another value
// follows, or the depth is 0 and the text is done.
static bool check_after(MuxClientCursor *cursor, Nest *nest)
{
    while (nest->depth > 0) {
        bool object = nest->objects & 1;
        skip_blanks(cursor);
        if (take(cursor, ','))
            return !object || check_key(cursor);
        if (!take(cursor, object ? '}' : ']'))
            return false;
        nest->depth--;
        nest->objects >>= 1;
    }
    return true;
}

static bool check_value(MuxClientCursor *cursor)
{
    Nest nest = {0};

    do {
        bool done = true;
        skip_blanks(cursor);
        if (cursor->at == cursor->end)
            return false;
        if (*cursor->at != '{' && *cursor->at != '[') {
            if (!check_scalar(cursor))
                return false;
        } else if (!check_open(cursor, &nest, *cursor->at == '{', &done)) {
            return false;
        }
        if (done && !check_after(cursor, &nest))
            return false;
    } while (nest.depth > 0);
    return true;
}

bool mux_client_json_check(const char *text, size_t length, MuxClientJson *ret_value)
{
    MuxClientCursor cursor = {text, text + length};

    skip_blanks(&cursor);
    const char *from = cursor.at;
    if (!check_value(&cursor))
        return false;
    MuxClientJson value = {from, (size_t)(cursor.at - from)};
    skip_blanks(&cursor);
    if (cursor.at != cursor.end)
        return false;
    *ret_value = value;
    return true;
}
