// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A unix socket that is listened on: made with care, and removed by who made it alone.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "loop.h"

// Embedded in its owner.
typedef struct MuxListener {
    MuxWatch watch;
    char *path;
    dev_t dev; // of the socket that we made
    ino_t ino;
} MuxListener;

void mux_listener_init(MuxListener *listener);
// Listens at `path` with `mode`; `fn` is called when somebody connects. A socket that nobody
// listens on any more is replaced; anything else that is there is not touched. False with an error
// that says what is there.
bool mux_listener_open(MuxListener *listener, MuxLoop *loop, const char *path, mode_t mode,
                       void (*fn)(MuxWatch *watch), GError **error);
// Stops listening and removes the socket, if it is still ours. Harmless on one that is not open.
void mux_listener_close(MuxListener *listener);
// The next connection, nonblocking and close-on-exec, or a negative errno; -EAGAIN: nobody waits.
int mux_listener_accept(MuxListener *listener);
