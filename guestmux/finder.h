// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Finds the virtio-serial port by its name, now and whenever it is plugged or unplugged.
#pragma once

#include "relay/port.h"

typedef struct MuxFinder MuxFinder;

// Keeps `port` at the device whose name is `name`. NULL with an error.
MuxFinder *mux_finder_new(const char *name, MuxPort *port, GError **error);
// NULL is fine; returns NULL.
MuxFinder *mux_finder_free(MuxFinder *finder);
