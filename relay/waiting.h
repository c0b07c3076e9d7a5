// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Channels whose handler takes nobody at the moment. Those that one VM has opened to one service
// wait in a line, of which only the first is tried again: a handler that is busy for one is so for
// all of them. So what waits costs no more the more of it there is.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/list.h"

typedef struct MuxJoint MuxJoint;

typedef struct MuxWaiting {
    MuxList lines;     // of MuxUse in which somebody waits; whoever was served goes to the end
    guint source;      // GLib source, or 0
    uint64_t start_us; // no handler is started before
} MuxWaiting;

MuxWaiting *mux_waiting_new(void);
// Nobody waits any more. NULL is fine; returns NULL.
MuxWaiting *mux_waiting_free(MuxWaiting *waiting);

// The joint waits behind those that do already. If there are none, it is tried at `due_us`, or, if
// that is 0, soon and then ever more rarely.
void mux_waiting_add(MuxJoint *joint, uint64_t due_us);
// Harmless if it does not wait.
void mux_waiting_leave(MuxJoint *joint);
