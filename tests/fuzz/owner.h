// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A small owner of a session, like the relay: takes, refuses, reads, closes, as the fuzzer says,
// and insists on what the relay relies on.
#pragma once

#include "proto/session.h"
#include "source.h"

#define OWNER_CHANNELS 32
#define OWNER_NONCE    0x5eedu // of all its OPENs
#define OWNER_EPOCH    7u      // of its regions
#define OWNER_SLOTS    8

typedef struct Place {
    MuxChannel *mux; // NULL: free
    bool open, dead, fin_got, fin_sent, stopped, stop_got;
    uint64_t unread;
} Place;

// Bytes in a slot that were not given back.
typedef struct OwnerSlot {
    uint64_t slot; // 0: free
    const uint8_t *bytes;
    size_t size;
} OwnerSlot;

typedef struct Owner {
    MuxSession *session;
    MuxRole role;
    Place places[OWNER_CHANNELS];
    OwnerSlot slots[OWNER_SLOTS];
    uint32_t lent[OWNER_SLOTS]; // the generation of each of our slots that the peer got last
    MuxNotice notice;
    uint8_t *memory[2]; // of the region that the peer writes, and of ours
    bool up;
    unsigned manner; // what it does with what comes
} Owner;

void owner_init(Owner *owner, MuxRole role, const MuxLimits *limits);
void owner_deinit(Owner *owner);
// Takes all events that there are.
void owner_drain(Owner *owner);
// Does one thing that an owner may do.
void owner_act(Owner *owner, Source *source);
// Writes what there is to write, or a part.
void owner_write(Owner *owner, Source *source);
void owner_check(const Owner *owner);
