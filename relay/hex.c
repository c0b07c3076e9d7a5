// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "hex.h"

#include <glib.h>
#include <string.h>

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

void mux_id_text(uint64_t id, char ret_text[MUX_ID_SIZE])
{
    uint8_t bytes[sizeof(id)];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    mux_hex(bytes, sizeof(bytes), ret_text);
}

bool mux_id_read(const char *untrusted_text, uint64_t *ret_id)
{
    uint8_t bytes[sizeof(*ret_id)];
    uint64_t id = 0;

    if (!mux_unhex(untrusted_text, bytes, sizeof(bytes)))
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        id = id << 8 | bytes[i];
    *ret_id = id;
    return id != 0;
}

char *mux_printable(const char *untrusted_text, size_t most)
{
    char *text = g_strndup(untrusted_text, most);

    for (char *c = text; *c; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return text;
}
