// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What muxctl top shows: an answer to "status" that has rates, as lines.
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct MuxctlView {
    guint order;         // of the channels: a number below muxctl_view_orders()
    guint width, height; // of the terminal; 0: there is none, and no limit
    const char *note;    // something that is wrong, or NULL
} MuxctlView;

guint muxctl_view_orders(void);
// At most as many lines as the height. The list is the caller's.
GPtrArray *muxctl_view_lines(const MuxctlView *view, json_object *answer);
