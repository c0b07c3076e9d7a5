// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An event of the control connection as a line for people.
#pragma once

#include <json-c/json.h>

// Without a line's end; to be freed.
char *muxctl_event_text(json_object *event);
