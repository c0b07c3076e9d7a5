// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Lines of JSON between the two daemons, on a channel of their own: each line is one object. It has
// credit, order and turns as any channel; what comes is bounded in size and pace; what is to be
// said is asked for when there is room for it.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "link.h"

typedef struct MuxLines MuxLines;

typedef struct MuxLinesEvents {
    // A line came. False with an error: the channel is ended. It may call mux_lines_end(), but not
    // mux_lines_free().
    bool (*take)(void *user, json_object *untrusted_line, GError **error);
    // The next line to be said, the caller's from then on. NULL: nothing now.
    json_object *(*next)(void *user);
    // The channel has ended; `refused`: the other side did not take it. Not called for
    // mux_lines_end().
    void (*ended)(void *user, bool refused);
} MuxLinesEvents;

// `name` begins with '@', and is a constant, as the events are.
MuxLines *mux_lines_new(MuxLink *link, const char *name, const MuxLinesEvents *events, void *user);
// NULL is fine; returns NULL.
MuxLines *mux_lines_free(MuxLines *lines);

// Opens the channel. False when that is not possible; ended() is not called then.
bool mux_lines_open(MuxLines *lines);
// Takes it, which the other side opened; once a session. False: not now, and the channel stays the
// caller's.
bool mux_lines_take(MuxLines *lines, MuxChannel *channel);
// Ends the channel. To be called at the session's end too, so that there may be one in the next.
void mux_lines_end(MuxLines *lines);
bool mux_lines_are_open(const MuxLines *lines);

// There may be something to say: next() is asked when there is room, until it has nothing more.
void mux_lines_kick(MuxLines *lines);

// joint-open.c: the other side refused it, or did not answer.
void mux_lines_refused(MuxLines *lines);
// joint.c: the channel's joint is gone; what came before is still read.
void mux_lines_left(MuxLines *lines);
