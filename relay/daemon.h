// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a daemon does besides its work: options, configuration, signals, readiness, a clean end.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "access.h"
#include "expose.h"
#include "relay.h"
#include "watcher.h"

typedef struct MuxDaemon MuxDaemon;

// What differs between the two.
typedef struct MuxDaemonKind {
    const char *name; // "guestmux"
    const char *summary;
    MuxRole role;
    const char *socket;   // defaults
    const char *config;   // …which need not exist
    const char *services; // …neither need this
    // Options beside the common ones, and the keys of the configuration that stand for them or for
    // more, both ended by NULL.
    const GOptionEntry *options;
    const char *const *keys;
    // Takes its keys from the configuration (an empty object when there is none), at the start and
    // after SIGHUP; makes links accordingly. False with an error: at the start the daemon ends,
    // later it goes on as it was.
    bool (*configure)(MuxDaemon *daemon, json_object *config, GError **error);
    // Frees what configure() made, but for links. May be NULL.
    void (*finish)(MuxDaemon *daemon);
} MuxDaemonKind;

struct MuxDaemon {
    const MuxDaemonKind *kind;
    MuxRelay relay;
    void *user;
    char *socket, *config, *services; // as in force; the command line's win
    MuxAccess access;                 // to the socket
    MuxExposes *exposes;
    MuxWatcher *watcher; // of the services' folder
    json_object *rules;  // the policy's, as configured
    bool socket_given, config_given, services_given;
};

// Runs until SIGTERM or SIGINT. Returns the exit status: 0, 1 (could not start), 2 (wrong usage).
int mux_daemon_run(const MuxDaemonKind *kind, void *user, int argc, char **argv);
