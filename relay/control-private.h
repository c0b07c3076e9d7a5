// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Shared by control.c, which answers requests, and publish.c, which sends events.
#pragma once

#include "askers.h"
#include "backlog.h"
#include "control.h"

struct MuxControl {
    MuxWatch watch;
    MuxList node;
    MuxControls *controls;
    MuxPeer peer;        // who connected
    MuxAsker *asker;     // to whom it is counted
    GByteArray *request; // up to the line's end, and maybe beyond
    MuxBacklog answer;
    unsigned topics;   // that it subscribed to
    char *application; // whose buffers it wants to hear of; NULL: all
    bool subscribed;   // just now: it is to be told what there is
    guint lost;        // events that it did not read in time
    bool lossy;        // …which it has not been told yet
    bool full;         // its socket took no descriptor more
};

struct MuxControls {
    MuxRelay *relay;
    MuxList list;
    unsigned topics; // that anybody subscribed to
    MuxAskers askers;
};

// An object's text, lent by it.
const char *mux_control_text(json_object *object, size_t *ret_length);
// Puts bytes, or an object, which is used up, and its newline, behind what waits to be written.
void mux_control_append(MuxControl *control, const char *bytes, size_t length);
void mux_control_put(MuxControl *control, json_object *object);
// What its socket is to be watched for.
uint32_t mux_control_wanted(const MuxControl *control);
