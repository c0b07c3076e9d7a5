// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What both daemons read from their configuration, before any of it is put in force.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "access.h"
#include "policy.h"
#include "proto/session.h"
#include "relay.h"
#include "users.h"

typedef struct MuxConfig {
    const char *socket, *services; // lent by the object; NULL: not there
    MuxAccess access;              // to the socket
    MuxLimits limits;              // of each link
    MuxUserLimits users;           // of each user but root
    MuxBufferLimits buffers;       // of each link
    MuxPolicy *policy;             // owned; NULL: not there
    json_object *rules;            // what it was made of, lent by the object; NULL: not there
    json_object *expose;           // lent by the object; NULL: not there
} MuxConfig;

// Reads what is common to both; `own` (ended by NULL) are the keys that this daemon has besides.
// False with an error that names the key.
bool mux_config_read(json_object *object, const char *const *own, MuxConfig *ret_config,
                     GError **error);
void mux_config_clear(MuxConfig *config);
