// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See relay.h.

#include "relay.h"

#include <string.h>

#include "link.h"

MuxLink *mux_relay_find(const MuxRelay *relay, const char *name, size_t length)
{
    for (guint i = 0; i < relay->links->len; i++) {
        MuxLink *link = g_ptr_array_index(relay->links, i);
        if (strlen(link->name) == length && memcmp(link->name, name, length) == 0)
            return link;
    }
    return NULL;
}
