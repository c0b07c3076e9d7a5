// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What both daemons are made of, and hand to everything in this folder: there are no globals.
#pragma once

#include <glib.h>

#include "loop.h"
#include "proto/session.h"

typedef struct MuxLink MuxLink;
typedef struct MuxServices MuxServices;
typedef struct MuxApps MuxApps;

typedef struct MuxRelay {
    MuxRole role;
    MuxLoop *loop;
    MuxLimits limits;      // for each link
    GPtrArray *links;      // of MuxLink, owned
    MuxServices *services; // that this side has
    int most_fd;   // descriptors from this number on are kept for the daemon itself, so that
                   // channels cannot take those that ports and control connections need
    MuxApps *apps; // the socket that this side's programs connect to
} MuxRelay;

// The link of that name, or NULL.
MuxLink *mux_relay_find(const MuxRelay *relay, const char *name, size_t length);
