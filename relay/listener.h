// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A unix socket that is listened on: made with care, and removed by who made it alone.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "access.h"
#include "loop.h"

// Embedded in its owner.
typedef struct MuxListener {
    MuxWatch watch;
    char *path;
    dev_t dev; // of the socket that we made
    ino_t ino;
} MuxListener;

void mux_listener_init(MuxListener *listener);
// Listens at `path`, for those whom `access` lets in, and at no moment for others; `fn` is called
// when somebody connects. A socket that nobody listens on any more is replaced; anything else that
// is there is not touched. False with an error that says what is there.
bool mux_listener_open(MuxListener *listener, MuxLoop *loop, const char *path,
                       const MuxAccess *access, void (*fn)(MuxWatch *watch), GError **error);
// Lets others in from now on. False with an error; then nobody may come in whom neither the old
// access lets in nor the new one.
bool mux_listener_set_access(MuxListener *listener, const MuxAccess *access, GError **error);
// Whether its path still leads to it.
bool mux_listener_is_there(const MuxListener *listener);
// Stops listening and removes the socket, if it is still ours. Harmless on one that is not open.
void mux_listener_close(MuxListener *listener);
// Closes the connections that wait, unseen.
void mux_listener_turn_away(MuxListener *listener);
// The next connection, nonblocking and close-on-exec, or a negative errno; -EAGAIN: nobody waits.
int mux_listener_accept(MuxListener *listener);

// Makes the folder of a socket's path, for all to pass through, if it is missing and its own folder
// is not. False with an error.
bool mux_listener_make_folder(const char *path, GError **error);
