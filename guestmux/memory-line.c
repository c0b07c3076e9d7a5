// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See memory-private.h.

#include <gio/gio.h>
#include <string.h>

#include "memory-private.h"

#define ID_SIZE   8
#define SHOWN_MAX 300

void mux_hex(const uint8_t *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * n] = '\0';
}

bool mux_unhex(const char *untrusted_text, uint8_t *ret_bytes, size_t n)
{
    if (strlen(untrusted_text) != 2 * n)
        return false;
    for (size_t i = 0; i < 2 * n; i++)
        if (!g_ascii_isxdigit(untrusted_text[i]))
            return false;
    for (size_t i = 0; i < n; i++)
        ret_bytes[i] = (uint8_t)(g_ascii_xdigit_value(untrusted_text[2 * i]) << 4 |
                                 g_ascii_xdigit_value(untrusted_text[2 * i + 1]));
    return true;
}

bool mux_id_read(const char *untrusted_text, uint64_t *ret_id)
{
    uint8_t bytes[ID_SIZE];
    uint64_t id = 0;

    if (!mux_unhex(untrusted_text, bytes, sizeof(bytes)))
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        id = id << 8 | bytes[i];
    *ret_id = id;
    return id != 0;
}

json_object *mux_id_line(const char *key, uint64_t id)
{
    json_object *line = json_object_new_object();
    uint8_t bytes[ID_SIZE];
    char text[MUX_HEX_SIZE(ID_SIZE)];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    mux_hex(bytes, sizeof(bytes), text);
    mux_line_text(line, key, text);
    return line;
}

void mux_line_text(json_object *line, const char *key, const char *text)
{
    json_object_object_add(line, key, json_object_new_string(text));
}

char *mux_shown(const char *untrusted_text)
{
    char *text = g_strndup(untrusted_text, SHOWN_MAX);

    for (char *c = text; *c; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return text;
}

bool mux_nonsense(GError **error, const char *text)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
    return false;
}
