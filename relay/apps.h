// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The daemon's socket: programs connect, write a name, and get a channel, or a control connection.
#pragma once

#include <glib.h>

#include "access.h"
#include "listener.h"
#include "relay.h"

// Listens at `path`. NULL with an error.
MuxApps *mux_apps_new(MuxRelay *relay, const char *path, const MuxAccess *access, GError **error);
// Lets others in from now on. False with an error.
bool mux_apps_set_access(MuxApps *apps, const MuxAccess *access, GError **error);
// Closes the socket, removes it, and drops those who have not yet said a name. NULL is fine;
// returns NULL.
MuxApps *mux_apps_free(MuxApps *apps);

// Takes those who wait at a listener, be it this one or another, and hands each to `fn`, as long as
// there are descriptors for them; those for whom there are none are turned away. To be called from
// the listener's function.
void mux_apps_accept(MuxApps *apps, MuxListener *listener, void (*fn)(void *user, int fd),
                     void *user);
