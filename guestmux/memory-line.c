// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See memory-private.h.

#include <gio/gio.h>
#include <string.h>

#include "memory-private.h"

json_object *mux_id_line(const char *key, uint64_t id)
{
    json_object *line = json_object_new_object();
    char text[MUX_ID_SIZE];

    mux_id_text(id, text);
    mux_line_text(line, key, text);
    return line;
}

void mux_line_text(json_object *line, const char *key, const char *text)
{
    json_object_object_add(line, key, json_object_new_string(text));
}

bool mux_nonsense(GError **error, const char *text)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
    return false;
}
