// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Telling systemd how the daemon is: sd_notify(3)'s protocol, one datagram, without its library.
#pragma once

// `state` is for example "READY=1". No effect when nobody asked to be told.
void mux_notify(const char *state);
// The same, with a descriptor, which stays the caller's: "FDSTORE=1". -1: without.
void mux_notify_fd(const char *state, int fd);
