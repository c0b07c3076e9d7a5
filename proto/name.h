// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Names of services, `service[:argument]`, and the codes with which an open can fail.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Why a channel ended, or was never opened. The numbers are the wire's (RESET).
typedef enum MuxCode {
    MUX_CODE_CLOSED = 0,     // the end that had it went away in the middle
    MUX_CODE_NO_SERVICE = 1, // nobody registered that name
    MUX_CODE_DENIED = 2,     // policy
    MUX_CODE_REFUSED = 3,    // the handler would not take it
    MUX_CODE_LIMIT = 4,      // too many channels
    MUX_CODE_TIMEOUT = 5,    // nobody answered in time
    MUX_CODE_LINK_DOWN = 6,  // there is no session, or it ended
    MUX_CODE_BAD_NAME = 7,
    MUX_CODES,
} MuxCode;

// The word that stands for a code in `ERR <code> …`; "unknown" for a number of a later version.
const char *mux_code_name(unsigned code);

// Whether `name` is one of the daemons' own: '@' and a service's name. What one end does not know
// of these it refuses with MUX_CODE_NO_SERVICE, so that later versions can have more.
bool mux_name_own(const char *name, size_t length);

// Whether `name` is a service, or a service with an argument, within the limits. The length of the
// service part comes back, so that service is name[0..n-1] and the argument, if any, follows the
// colon.
bool mux_name_valid(const char *name, size_t length, size_t *ret_service);
