// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One seed's world: a guest, a host, the port between them, and what happens to them.
#pragma once

#include "apps.h"
#include "memory.h"
#include "pipe.h"

typedef struct World {
    Run *run;
    End *end[2];   // guest and host
    Pipe pipe[2];  // what the guest writes, what the host writes
    Arena *arena;  // the guest's memory; NULL: the heap
    End *snapshot; // the guest in the copy that was taken, or NULL
    uint64_t snapshot_us;
    uint32_t snapshot_count; // of the ledger's entries
    bool cut;                // a frame may have lost its end without anyone knowing
    MuxLimits limits[2];
    Habits habits[2];
    uint64_t agreed_us; // when both ends were last up
    unsigned steps;
    unsigned trouble; // in a thousand steps
    bool storm;       // begins with a storm of opens and closes
} World;

// From the first byte to the last free(). Fails the run when anything is wrong.
void world_run(Run *run);

// Calls for one end go between these, so that its memory comes from the right place.
End *world_enter(World *world, unsigned side);
void world_leave(World *world);
// One wake-up of one end.
bool world_pump(World *world, unsigned side);

// quiet.c: nothing disturbs any more: everything must come to its end.
void world_quiet(World *world);
