// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A channel joined to standard input and output, whoever opened it.
#pragma once

#include "muxctl.h"

// The session that a channel runs over. A unix socket cannot say whether a channel ended or was cut
// off with its session; the control connection can.
typedef struct MuxctlSession {
    char *link;
    char *id;   // NULL when there is none
    bool known; // the daemon told it
} MuxctlSession;

// The one that is over a link now. In a guest there is one link, and its name does not matter.
void muxctl_session_ask(const MuxctlOptions *options, const char *link, MuxctlSession *ret_session);
void muxctl_session_clear(MuxctlSession *session);

// Standard input goes into the channel, what comes goes to standard output, to the end. Takes the
// descriptor. `session` is the one that it was opened in; `name` is for messages. The exit status.
int muxctl_join(const MuxctlOptions *options, const char *name, const MuxctlSession *session,
                int fd);
