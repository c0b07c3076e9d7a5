// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The daemon: opening names, and asking it on the control connection. libmuxclient does the former
// for us; here its results become words and exit statuses.
#pragma once

#include <json-c/json.h>

#include "clients/libmuxclient/muxclient.h"
#include "muxctl.h"

// Says what came of a call of libmuxclient that was about `what`, unless it is 0; the exit status.
int muxctl_explain(const MuxctlOptions *options, const char *what, int result,
                   const MuxClientRefusal *refusal);
// The exit status for a code of the daemon's, "no-service".
int muxctl_code_status(const char *code);
// Opens a name. 0 with the descriptor, or the exit status after having said why not.
int muxctl_open(const MuxctlOptions *options, const char *name, int timeout_ms, int *ret_fd);
// From an option's seconds; none (negative) is no limit, -1.
int muxctl_milliseconds(double seconds);

// A control connection: requests go out, lines come in.
typedef struct MuxctlControl {
    int fd;
    GString *input; // what has come and was not taken
    gsize searched; // so much of it has no end of a line
} MuxctlControl;

// 0, or the exit status after having said why not.
int muxctl_control_open(const MuxctlOptions *options, MuxctlControl *ret_control);
// Also of one that is all zero.
void muxctl_control_close(MuxctlControl *control);
// All of it, without a word: sends the verb, and closes the descriptor when the answer is there.
// NULL when the daemon closed without one. The answer is the caller's.
json_object *muxctl_control_answer(int fd, const char *verb);
// {"verb": verb}. That it could not be sent shows as a missing answer.
void muxctl_control_send(MuxctlControl *control, const char *verb);
// Reads what there is, waiting for something. False at the connection's end.
bool muxctl_control_read(MuxctlControl *control);
// The next line as an object, which is the caller's; NULL when no whole line is there. A line that
// is no JSON object gives an empty one.
json_object *muxctl_control_take(MuxctlControl *control);
// Whether an answer is a good one; the exit status after having said why not.
int muxctl_check_answer(const char *verb, json_object *answer);

// Asks the daemon {"verb": verb}. 0 with the answer, which is the caller's, or the exit status
// after having said why not.
int muxctl_ask(const MuxctlOptions *options, const char *verb, json_object **ret_answer);
