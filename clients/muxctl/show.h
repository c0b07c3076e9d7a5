// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A command that asks the daemon one thing and shows the answer.
#pragma once

#include <json-c/json.h>

#include "muxctl.h"

// Asks for `verb` and prints the answer: as it is with --json, else with `print`. The exit status.
int muxctl_show(const MuxctlOptions *options, const char *verb, void (*print)(json_object *answer));
