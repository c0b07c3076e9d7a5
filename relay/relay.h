// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What both daemons are made of, and hand to everything in this folder: there are no globals.
#pragma once

#include <glib.h>

#include "loop.h"
#include "proto/session.h"
#include "users.h"
#include "waiting.h"

typedef struct MuxLink MuxLink;
typedef struct MuxServices MuxServices;
typedef struct MuxPolicy MuxPolicy;
typedef struct MuxControls MuxControls;
typedef struct MuxApps MuxApps;
typedef struct MuxHandles MuxHandles;

// The buffers that each link may have; each user but root of his side may have half of that.
typedef struct MuxBufferLimits {
    guint32 buffers;
    guint64 bytes;
} MuxBufferLimits;

typedef struct MuxRelay {
    MuxRole role;
    MuxLoop *loop;
    MuxLimits limits;      // for each link
    GPtrArray *links;      // of MuxLink, owned
    MuxServices *services; // that this side has
    MuxWaiting *waiting;   // channels whose handlers take nobody now
    MuxPolicy *policy;     // who may open and register; NULL: everybody
    MuxUserLimits users;   // for each user of each link
    MuxControls *controls;
    guint32 sockets; // of channels, and of those who have not said a name yet
    int most_fd;     // descriptors from this number on are kept for the daemon itself, so that
                     // channels cannot take those that ports and control connections need
    MuxApps *apps;   // the socket that this side's programs connect to
    const struct MuxMemoryKind *memory; // what this daemon does for memory; NULL: nothing
    void *memory_user;                  // the daemon's own, for that
    MuxBufferLimits buffers;            // of each link
    MuxHandles *handles;                // programs' connections to buffers
} MuxRelay;

// "guestmux" or "hostmux".
const char *mux_relay_daemon(const MuxRelay *relay);

// Whether a user or a VM that has `mine` sockets may have another one. As long as few are used, one
// alone can have most of them; the fewer are left, the less they let anybody have more than others.
bool mux_relay_has_room(const MuxRelay *relay, guint32 mine);

// The link of that name, or NULL.
MuxLink *mux_relay_find(const MuxRelay *relay, const char *name, size_t length);
