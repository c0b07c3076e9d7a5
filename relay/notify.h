// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Telling systemd how the daemon is: sd_notify(3)'s protocol, one datagram, without its library.
#pragma once

#include <stdbool.h>

// `state` is for example "READY=1". No effect when nobody asked to be told.
void mux_notify(const char *state);
// For systemd's descriptor store: tells it, with a descriptor, which stays the caller's, or without
// (-1). False when it would have to wait: systemd is busy.
bool mux_notify_store(const char *state, int fd);
