// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Lines about what happens, each as it happens.
#pragma once

#include <json-c/json.h>

#include "muxctl.h"

// Prints it with the time, which it adds, and takes it. One that is no object is a time alone.
void muxctl_event_print(const MuxctlOptions *options, json_object *event);
// Waits until the descriptor can be read. False when nobody reads the lines any more.
bool muxctl_event_wait(int fd);
