// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A link's session: starting it, and what is to be told when it came up or ended. For
// link.c, but for mux_link_nonce().
#pragma once

#include "link.h"

// Before the first mux_link_log().
void mux_link_log_init(MuxLink *link);

// 64 bits that nobody can guess; never 0.
uint64_t mux_link_random(void);
// For mux_session_open().
uint32_t mux_link_nonce(void);
// The port is there: greets the other end.
void mux_link_start_session(MuxLink *link);
// What the session's events of these names say.
void mux_link_session_up(MuxLink *link);
void mux_link_session_down(MuxLink *link, const MuxEvent *event);
// It ended, with all of its channels: for status and log. `detail` may be NULL.
void mux_link_session_ended(MuxLink *link, const char *why, const char *detail);
// Says so once if what comes over the port does not look like our other end.
void mux_link_suspect_stranger(MuxLink *link);
