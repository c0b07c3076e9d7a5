// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a handler is told of a channel that it gets: the service, the argument, the VM, and who
// opened it. Who that is, is what the other machine says.
#pragma once

#include <json-c/json.h>

#include "joint.h"

// {"uid": …, "gid": …, "program": …}, or NULL (JSON's null) for one who is not known. The caller's.
json_object *mux_caller_json(const MuxCaller *caller);

// Adds {"argument": …} of a name, or "argument_base64" when it is not UTF-8.
void mux_argument_add(json_object *object, const char *name);

// Adds "service", "argument", "link", "id" and "caller".
void mux_preamble_add(json_object *object, const MuxJoint *joint);

// Sends what the service wants its handler to read first. 0 or a negative errno.
int mux_preamble_send(const MuxJoint *joint);

// The environment of a handler that is started for it; g_strfreev().
char **mux_preamble_environment(const MuxJoint *joint);
