// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The daemon's socket: programs connect, write a name, and get a channel, or a control connection.
#pragma once

#include <glib.h>

#include "relay.h"

// Listens at `path`, for everybody. NULL with an error.
MuxApps *mux_apps_new(MuxRelay *relay, const char *path, GError **error);
// Closes the socket, removes it, and drops those who have not yet said a name. NULL is fine;
// returns NULL.
MuxApps *mux_apps_free(MuxApps *apps);
