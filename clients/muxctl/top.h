// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl top in a terminal.
#pragma once

#include "daemon.h"

// Shows what comes over the control connection, until it is told to end; the exit status. `seconds`
// is between two questions.
int muxctl_top_live(MuxctlControl *control, double seconds);
