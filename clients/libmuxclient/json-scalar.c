// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Strings and numbers of a text that mux_client_json_check() has passed.

#include <string.h>

#include "json-cursor.h"
#include "json.h"

static uint32_t four_digits(const char *at)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)hex_digit(at[i]);
    return unit;
}

// Behind "\u". Half of a pair that stands alone becomes U+FFFD.
static uint32_t take_unicode(MuxClientCursor *cursor)
{
    uint32_t unit = four_digits(cursor->at);

    cursor->at += 4;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit < 0xDC00 && cursor->end - cursor->at >= 6 && cursor->at[0] == '\\' &&
        cursor->at[1] == 'u') {
        uint32_t low = four_digits(cursor->at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            cursor->at += 6;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

static size_t put_utf8(uint32_t c, char to[4])
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3F));
    to[0] = (char)((0xF00u >> n & 0xFF) | c);
    return n;
}

// The next character of a string, as bytes; only up to its closing quote.
static size_t take_character(MuxClientCursor *cursor, char to[4])
{
    static const char letters[] = "bfnrt", controls[] = "\b\f\n\r\t";
    char c = *cursor->at++;

    if (c == '\\') {
        c = *cursor->at++;
        if (c == 'u')
            return put_utf8(take_unicode(cursor), to);
        const char *letter = strchr(letters, c);
        if (letter)
            c = controls[letter - letters];
    }
    to[0] = c;
    return 1;
}

bool mux_client_json_string(MuxClientJson value, char *to, size_t room, size_t *ret_length)
{
    size_t length = 0;
    char bytes[4];

    if (value.length == 0 || *value.at != '"' || room == 0)
        return false;
    MuxClientCursor cursor = {value.at + 1, value.at + value.length - 1};
    while (cursor.at < cursor.end) {
        size_t n = take_character(&cursor, bytes);
        if (bytes[0] == '\0' || room - length <= n)
            return false;
        memcpy(to + length, bytes, n);
        length += n;
    }
    to[length] = '\0';
    *ret_length = length;
    return true;
}

bool mux_client_json_equals(MuxClientJson value, const char *text)
{
    char bytes[4];

    if (value.length == 0 || *value.at != '"')
        return false;
    MuxClientCursor cursor = {value.at + 1, value.at + value.length - 1};
    while (cursor.at < cursor.end) {
        size_t n = take_character(&cursor, bytes);
        if (bytes[0] == '\0' || strncmp(text, bytes, n) != 0)
            return false;
        text += n;
    }
    return *text == '\0';
}

bool mux_client_json_number(MuxClientJson value, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (value.length == 0)
        return false;
    for (size_t i = 0; i < value.length; i++) {
        if (!is_digit(value.at[i]) || number > UINT64_MAX / 10)
            return false;
        uint64_t digit = (uint64_t)(value.at[i] - '0');
        if (number * 10 > max || digit > max - number * 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}
