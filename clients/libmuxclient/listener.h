// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A registration, and the channels that come.
#pragma once

#include <errno.h>

#include "control.h"
#include "muxclient.h"

struct MuxClientListener {
    MuxClientLines lines; // the control connection
    char *words;          // the strings of `channel`, and its room
    size_t room;
    MuxClientChannel channel; // that was accepted last
    char reason[256];         // why the daemon took the registration away
    bool gone;                // it did
};

// A listener without a connection yet. 0 or -ENOMEM.
int mux_client_listener_new(MuxClientListener **ret_listener);
