// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See relay.h.

#include "relay.h"

#include <string.h>

#include "link.h"

// One alone gets four fifths; of n, each gets 4 parts of 4n + 1.
#define SHARE 4

const char *mux_relay_daemon(const MuxRelay *relay)
{
    return relay->role == MUX_GUEST ? "guestmux" : "hostmux";
}

bool mux_relay_has_room(const MuxRelay *relay, guint32 mine)
{
    guint32 all = (guint32)relay->most_fd;

    return relay->sockets < all && mine / SHARE <= all - relay->sockets;
}

MuxLink *mux_relay_find(const MuxRelay *relay, const char *name, size_t length)
{
    for (guint i = 0; i < relay->links->len; i++) {
        MuxLink *link = g_ptr_array_index(relay->links, i);
        if (strlen(link->name) == length && memcmp(link->name, name, length) == 0)
            return link;
    }
    return NULL;
}
