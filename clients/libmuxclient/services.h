// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The services verb, within a call that does more.
#pragma once

#include "control.h"

// Asks what can be opened from here. ret_remote: the list, lent as the answer is. Results as of
// mux_client_control_ask().
int mux_client_services_ask(MuxClientLines *lines, MuxClientDeadline deadline,
                            MuxClientRefusal *ret_refusal, MuxClientJson *ret_remote);
