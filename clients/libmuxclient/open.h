// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Opening a name, within a call that does more.
#pragma once

#include "dial.h"
#include "muxclient.h"

// mux_client_connect() with a deadline instead of a time limit.
int mux_client_open(const char *socket, const char *name, MuxClientDeadline deadline,
                    MuxClientRefusal *ret_refusal, int *ret_fd);
