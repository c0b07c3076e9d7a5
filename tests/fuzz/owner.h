// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A small owner of a session, like the relay: takes, refuses, reads, closes, as the fuzzer says,
// and insists on what the relay relies on.
#pragma once

#include "proto/session.h"
#include "source.h"

#define OWNER_CHANNELS 32
#define OWNER_NONCE    0x5eedu // of all its OPENs

typedef struct Place {
    MuxChannel *mux; // NULL: free
    bool open, dead, fin_got, fin_sent, stopped, stop_got;
    uint64_t unread;
} Place;

typedef struct Owner {
    MuxSession *session;
    MuxRole role;
    Place places[OWNER_CHANNELS];
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
