// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What can be asked on a control connection.
#pragma once

#include <json-c/json.h>

#include "control.h"

// The answer to {"verb": …}; the caller's.
json_object *mux_verb_run(MuxControl *control, json_object *request);
// {"ok": false, "error": {"code": code, "text": text}}; the caller's.
json_object *mux_verb_error(const char *code, const char *text);
