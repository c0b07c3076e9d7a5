// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The daemons log with GLib's g_debug(), g_info(), g_message(), g_warning() and g_critical(); this
// says how that looks: one line an event on stderr, with the journal's level in front when the
// journal reads it.
#pragma once

#include <stdbool.h>

// Once, at the start. Without `verbose`, g_debug() is not shown.
void mux_log_setup(bool verbose);
