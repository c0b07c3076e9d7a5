// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Links, sessions and channels as they are now, for people and programs; docs/control.md has the
// fields.
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "peer.h"
#include "relay.h"

// All links, with their channels if those are asked for. Arguments of channels that are not
// `viewer`'s own are left out, unless he is privileged. The caller's.
json_object *mux_status_links(const MuxRelay *relay, bool channels, const MuxPeer *viewer);
