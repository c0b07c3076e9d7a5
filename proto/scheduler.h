// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Whose turn it is to send data: deficit round robin by bytes, with those that were quiet first.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

typedef struct MuxScheduler {
    MuxList fresh;   // became ready since they last ran dry, and have not used up a first quantum
    MuxList waiting; // everybody else with something to send
    uint64_t sent;   // bytes, by all
    uint64_t waited; // bytes, by those in `waiting`
    uint32_t count;  // in both lists
    uint32_t ahead;  // in `fresh`
} MuxScheduler;

typedef struct MuxShare {
    MuxList node;
    int32_t deficit; // bytes that it may still send before the next one's turn; below 0: of its
                     // next turns it has used up so much
    uint64_t left;   // what all had sent when it was taken out
    uint64_t left_waited; // what those in `waiting` had
    bool ahead;           // is in `fresh`
    bool held;            // was taken out with something left to send
} MuxShare;

void mux_scheduler_init(MuxScheduler *scheduler);
void mux_share_init(MuxShare *share);

// It has something to send. No effect when it is queued already.
void mux_scheduler_add(MuxScheduler *scheduler, MuxShare *share);
// It has nothing to send. No effect when it is not queued.
void mux_scheduler_remove(MuxScheduler *scheduler, MuxShare *share);
// It has something to send, and must not for now. It is no quiet one when it comes back.
void mux_scheduler_hold(MuxScheduler *scheduler, MuxShare *share);
// Whose turn it is; NULL when nobody has anything to send. Its deficit is above 0.
MuxShare *mux_scheduler_next(MuxScheduler *scheduler);
// How many bytes it may send in its turn: no less than a quantum, or what is left of one would make
// a small frame.
uint32_t mux_scheduler_turn(const MuxScheduler *scheduler, const MuxShare *share);
// It sent `n` bytes. More than its deficit is taken from its next turns.
void mux_scheduler_sent(MuxScheduler *scheduler, MuxShare *share, uint32_t n);
