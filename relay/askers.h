// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What each user has of the control connections: how many, what they may ask, and what they have
// not read. No user can keep the others out by asking, by not reading, or by just being there; and
// none can keep out the administrator, who is root or the daemon's own user.
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "peer.h"
#include "proto/bucket.h"

typedef struct MuxAskers {
    GHashTable *by_uid; // of MuxAsker
    unsigned connections;
    MuxBucket work; // for what takes long, all users together
} MuxAskers;

typedef struct MuxAsker {
    uid_t uid;
    bool privileged;
    unsigned connections;
    size_t held;    // bytes of answers and events that were not read yet
    MuxBucket work; // what he may ask
} MuxAsker;

void mux_askers_init(MuxAskers *askers, uint64_t now_us);
void mux_askers_deinit(MuxAskers *askers);

// A connection more. NULL when he, or all together, have too many.
MuxAsker *mux_asker_enter(MuxAskers *askers, const MuxPeer *peer, uint64_t now_us);
// A connection less.
void mux_asker_leave(MuxAskers *askers, MuxAsker *asker);

// Whether he may ask something that costs so much (1: a trifle).
bool mux_asker_may_ask(MuxAskers *askers, MuxAsker *asker, size_t cost, uint64_t now_us);
// Whether he has read enough of what he was sent to be sent more.
bool mux_asker_reads(const MuxAsker *asker);
