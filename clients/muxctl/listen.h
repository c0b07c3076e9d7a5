// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A service that lives as long as muxctl does.
#pragma once

#include "daemon.h"

typedef struct MuxctlService {
    const MuxctlOptions *options;
    const char *name;
    MuxClientListenOptions how;
    gboolean once;
    gboolean quiet;
    gboolean retry; // wait for a daemon that is not there, and come back to one that was
} MuxctlService;

// Registers. `timeout_ms`: how long the daemon may take. 0, or the exit status after having said
// why not. *ret_again: with `retry`, the daemon is not there or has no time; nothing was said.
int muxctl_register(const MuxctlService *service, int timeout_ms, bool *ret_again,
                    MuxClientListener **ret_listener);
// One line, before the first wait for a daemon.
void muxctl_say_waiting(const MuxctlService *service);
// One line, when all is ready.
void muxctl_say_listening(const MuxctlService *service);
// Says why mux_client_accept() gives nothing more; the exit status.
int muxctl_explain_end(const MuxctlService *service, int result, const MuxClientListener *listener);

// Serves channels, each with a program of its own, at most `max` for a link, until the end.
int muxctl_serve(const MuxctlService *service, char **argv, guint max);
