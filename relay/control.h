// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Control connections, `@control`: one JSON object a line in, one out.
//
//     {"verb": "status"}  ->  {"ok": true, …}
//     anything else       ->  {"ok": false, "error": {"code": "…", "text": "…"}}
#pragma once

#include <stdbool.h>

#include "relay.h"

typedef struct MuxControls MuxControls;

MuxControls *mux_controls_new(MuxRelay *relay);
// Closes them all. NULL is fine; returns NULL.
MuxControls *mux_controls_free(MuxControls *controls);
// Makes a control connection of the socket, which is the controls' from now on. `answers`: OK comes
// first.
void mux_control_add(MuxControls *controls, int fd, bool answers);
