// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Text that grows by doubling.

#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mux_client_text_deinit(MuxClientText *text)
{
    free(text->bytes);
    *text = (MuxClientText){0};
}

static bool make_room(MuxClientText *text, size_t length)
{
    if (text->room - text->length >= length)
        return true;
    size_t room = 2 * text->room + length + 256;
    char *bytes = realloc(text->bytes, room);
    if (!bytes)
        return false;
    text->bytes = bytes;
    text->room = room;
    return true;
}

static void put(MuxClientText *text, const char *bytes, size_t length)
{
    text->failed = text->failed || !make_room(text, length);
    if (text->failed || length == 0)
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

void mux_client_text_put(MuxClientText *text, const char *bytes)
{
    put(text, bytes, strlen(bytes));
}

void mux_client_text_put_string(MuxClientText *text, const char *string)
{
    put(text, "\"", 1);
    for (; *string; string++) {
        char escape[8];
        size_t plain = 0;
        while (string[plain] && (unsigned char)string[plain] >= 0x20 && string[plain] != '"' &&
               string[plain] != '\\')
            plain++;
        put(text, string, plain);
        string += plain;
        if (!*string)
            break;
        (void)snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*string);
        put(text, escape, 6);
    }
    put(text, "\"", 1);
}

void mux_client_text_put_number(MuxClientText *text, uint64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, number);

    put(text, digits, (size_t)n);
}
