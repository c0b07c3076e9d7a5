// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Two daemons' relays in one process, with a session between them. Each has a memory kind that
// makes buffers of memfds, at once, later or not at all; what a daemon would say over @memory, the
// test does itself.
#pragma once

#include <glib.h>

#include "relay/buffers/buffers.h"
#include "relay/buffers/handle.h"
#include "relay/control.h"
#include "relay/link.h"
#include "relay/memory.h"
#include "relay/policy.h"

typedef enum Making { NOW, LATER, NEVER } Making;

// What was called.
typedef struct Side {
    MuxRelay relay;
    MuxLink *link;
    Making making;
    bool frees; // in idle()
    uint64_t next_id;
    guint created, released, idled, set, downs;
    char *changes, *reason; // of the last ones
} Side;

typedef struct World {
    Side host, guest;
    char *folder;
} World;

extern const MuxMemoryKind world_kind;

// What a fixture's set-up and tear-down are: the session is up; nothing is left.
void world_begin(World *world, gconstpointer data);
void world_end(World *world, gconstpointer data);
bool world_up(const World *world);

// Makes one that was to be made LATER: it is ready.
void world_make(MuxBuffer *buffer);
// Frees one that idle() left.
void world_free(MuxBuffer *buffer);
// What `there` has, `here` is told of and has too.
MuxBuffer *world_share(Side *here, const Side *there, const char *name);

gboolean world_late(gpointer text);
// Turns the loops until `condition`.
#define world_until(condition)                                                                     \
    do {                                                                                           \
        guint late_ = g_timeout_add_seconds(20, world_late, (gpointer) #condition);                \
        while (!(condition))                                                                       \
            g_main_context_iteration(NULL, TRUE);                                                  \
        g_source_remove(late_);                                                                    \
    } while (0)

// Turns them until nobody has anything to do at once.
void world_settle(void);
