// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Results, and what goes with them.
#pragma once

#include <stddef.h>

#include "muxclient.h"

// The result that stands for a code's word; MUX_CLIENT_OTHER for one of a later version.
int mux_client_result(const char *word, size_t length);

// Fills in a refusal and returns its result. `refusal` may be NULL.
int mux_client_refuse(MuxClientRefusal *refusal, const char *word, size_t word_length,
                      const char *text, size_t text_length);

// The same for a result that comes from this library.
int mux_client_refuse_here(MuxClientRefusal *refusal, int result, const char *text);

// What a step of a call came to, passed on: fills in the refusal for a TIMEOUT or a CLOSED, which
// have none yet.
int mux_client_conclude(MuxClientRefusal *refusal, int result);
