// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The control connection: a request a line, an answer a line, events in between.
#pragma once

#include <stddef.h>

#include "dial.h"
#include "json.h"
#include "lines.h"
#include "muxclient.h"

// A line's longest, in bytes. What the daemon says of one channel or service is bounded by what one
// frame can carry; a list is not, but the daemon itself holds no more than this.
#define MUX_CLIENT_EVENT_MAX  (256 * 1024)
#define MUX_CLIENT_ANSWER_MAX (64 * 1024 * 1024)

#define MUX_CLIENT_REQUEST_MAX 65536 // the daemon closes the connection at more

// Opens the control connection. `max` is a line's longest. Results as of mux_client_connect().
int mux_client_control_open(const char *socket, size_t max, MuxClientDeadline deadline,
                            MuxClientRefusal *ret_refusal, MuxClientLines *ret_lines);

// Sends a request, a line with its end, and gives the answer, which is lent until the next line is
// read. Events that come before it are dropped. 0, the result for the error that the daemon
// answered, TIMEOUT, CLOSED, or a negative errno.
int mux_client_control_ask(MuxClientLines *lines, const char *request, size_t length,
                           MuxClientDeadline deadline, MuxClientRefusal *ret_refusal,
                           MuxClientJson *ret_answer);

// The next line, checked; lent until the one after. -EPROTO: it was no JSON object; what follows
// can be read. Else as mux_client_lines_next().
int mux_client_control_next(MuxClientLines *lines, MuxClientDeadline deadline,
                            MuxClientJson *ret_object);
