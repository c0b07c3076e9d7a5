// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a loop is made of. loop.c takes turns, loop-run.c sees to it that GLib gets its own.
#pragma once

#include <glib.h>

#include "loop.h"

struct MuxLoop {
    GSource *source;
    void *tag; // of the epoll descriptor in the source
    int epoll;
    uint64_t now_us;
    MuxList ready; // watches with (ready & wanted) != 0
    MuxList last;  // …that are called last
    MuxList jobs;
    bool running;
    bool asking;   // GLib is asked what it waits for besides this
    bool glib_due; // a descriptor of GLib's sources has something
};

// Whether there is something to do without waiting.
bool mux_loop_busy(const MuxLoop *loop);
// One turn, which waits that long if nothing is reported; -1: for ever.
void mux_loop_turn(MuxLoop *loop, int timeout_ms);
