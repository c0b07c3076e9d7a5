// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Holding something until a signal comes, a command ends, or it is gone by itself.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "muxctl.h"

typedef struct MuxctlHold {
    int signals;   // a signalfd, or -1
    pid_t command; // 0: none, or no more
    int status;    // of the command when it has ended
} MuxctlHold;

// From now on signals are taken by muxctl_hold_take(). Not those that whoever started us wants to
// be ignored, as nohup does. 0, or the exit status after having said why not.
int muxctl_hold_init(MuxctlHold *hold);
// Starts the command, with NAME=VALUE in its environment. It stays in our process group, so that it
// has the terminal. 0, or the exit status after having said why not.
int muxctl_hold_start(MuxctlHold *hold, char **argv, const char *name, const char *value);
// Takes what `signals` has to say, after it was readable. True when it is time to end: a signal
// came and there is no command, or the command has ended. Signals are passed on to it.
bool muxctl_hold_take(MuxctlHold *hold);
// Asks the command to end; muxctl_hold_take() will say when it has. False: there is none.
bool muxctl_hold_ask(MuxctlHold *hold);
void muxctl_hold_deinit(MuxctlHold *hold);
