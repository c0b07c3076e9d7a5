// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Shared by services.c, which knows the services, and children.c, which runs their handlers.
#pragma once

#include "proto/bucket.h"
#include "proto/list.h"
#include "services.h"

struct MuxServices {
    GHashTable *by_name; // of MuxService, each holding a reference
    MuxServicesChanged changed;
    void *user;
    MuxList children;          // handlers that run
    struct rlimit descriptors; // theirs
    MuxBucket log;             // what they make us log
    GHashTable *complaints;    // by file: what was said of it
};

// Ends all that still run.
void mux_children_end(MuxServices *services);
