// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a daemon does for the memory that both sides share: hostmux makes and plugs it, guestmux
// finds it. Both talk about it on a channel of their own, whose name is below; relay/ has the table
// of buffers (buffers.h), programs' handles, and who may what.
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "buffers/buffers.h"
#include "relay.h"

#define MUX_MEMORY_NAME "@memory"

// All are called from the loop; none but `memory`, `take` and `status` has a result, and any may be
// NULL. MuxRelay.memory points to it, or is NULL: no memory is shared.
typedef struct MuxMemoryKind {
    // The session is up; the guest opens the channel here.
    void (*up)(MuxLink *link);
    // The other side opened the channel. False: not wanted, and it stays the caller's.
    bool (*take)(MuxLink *link, MuxChannel *channel);
    // The session ended. What becomes of the buffers is the daemon's to say: nothing was done to
    // them yet.
    void (*down)(MuxLink *link);
    // The link ends: what it has for it, and its part of each buffer, is to be freed. The buffers
    // themselves are afterwards.
    void (*free)(MuxLink *link);

    // A program here has asked for it; the limits allow it, its session is up. Later, or at once:
    // mux_buffer_ready() or mux_buffer_fail(). The state is MAKING.
    void (*create)(MuxBuffer *buffer);
    // Properties were changed here: the other side is to be told. `changes` (lent) has a string for
    // each that was set, and null for each that was removed; at most once a turn.
    void (*set)(MuxBuffer *buffer, json_object *changes);
    // It ends from here: its owner went ("owner"), or somebody who may asked for it ("released").
    // The state is GOING, programs here have been told; idle() follows. It may be a buffer of which
    // create() has not come to an end yet. mux_buffer_free() may be called in here.
    void (*release)(MuxBuffer *buffer, const char *reason);
    // After release() or mux_buffer_gone(), at the end of the turn at the earliest, some seconds
    // later at most: no program has a handle any more. Once for each buffer.
    void (*idle)(MuxBuffer *buffer);
    // A new descriptor of it for a program, which can be written only with `write`; or a negative
    // errno.
    int (*memory)(MuxBuffer *buffer, bool write);

    // Somebody, here or on the other side, has written there, and all others were told.
    void (*noticed)(MuxBuffer *buffer, uint64_t offset, uint64_t length);

    // A new object for status, "memory" of the link, to which the regions' is added; or NULL.
    json_object *(*status)(MuxLink *link);
} MuxMemoryKind;
