// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A program for each channel, as inetd does it.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "clients/libmuxclient/muxclient.h"
#include "muxctl.h"

typedef struct MuxctlChildren {
    char **argv;
    guint max;              // that run at once for one link
    GQueue jobs;            // MuxctlJob: running, and waiting for one of those to end
    bool failed;            // one could not be started, or did not end with 0
    bool asked;             // to end, by a signal
    void (*on_end)(void *); // one has ended
    void *user;
} MuxctlChildren;

// The channel gets its program, at once or when one of its link has ended. Takes the descriptor.
void muxctl_children_add(MuxctlChildren *children, const MuxClientChannel *channel, int fd);
// Gives up what waits, and sends a signal to all that run, and to what they started. What is left
// of that when they have ended is killed.
void muxctl_children_signal(MuxctlChildren *children, int number);
bool muxctl_children_none(const MuxctlChildren *children);
