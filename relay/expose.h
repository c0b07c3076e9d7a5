// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Sockets that stand for one service each, the configuration's "expose": who connects has a channel
// at once, and need not say a name.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "relay.h"

typedef struct MuxExposes MuxExposes;

// None.
MuxExposes *mux_exposes_new(MuxRelay *relay);
// Closes the sockets and removes them; the channels stay. NULL is fine; returns NULL.
MuxExposes *mux_exposes_free(MuxExposes *exposes);

// Makes ready for a configuration's "expose", a list, or NULL for none: checks it, and makes the
// sockets that there are not yet. Then it is either put in force or undone. False with an error,
// and nothing has changed.
bool mux_exposes_prepare(MuxExposes *exposes, json_object *list, GError **error);
// From now on there are those that were prepared and no others. Who waits at one that stays goes on
// waiting.
void mux_exposes_commit(MuxExposes *exposes);
// All is as it was before mux_exposes_prepare().
void mux_exposes_undo(MuxExposes *exposes);
