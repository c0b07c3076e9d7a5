// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What each daemon tells the other over a link: who it is, and which services can be opened. It
// travels on a channel like any other, whose name is the daemons' own, "@services"; the guest opens
// it when a session begins. PROTOCOL.md has the lines.
#pragma once

#include <json-c/json.h>

#include "link.h"
#include "services.h"

#define MUX_DISCOVERY_NAME "@services"

typedef struct MuxDiscovery MuxDiscovery;

MuxDiscovery *mux_discovery_new(MuxLink *link);
// NULL is fine; returns NULL.
MuxDiscovery *mux_discovery_free(MuxDiscovery *discovery);

// The session is up: the guest opens the channel.
void mux_discovery_start(MuxDiscovery *discovery);
// The other side opened it.
void mux_discovery_take(MuxDiscovery *discovery, MuxChannel *channel);
// The session is gone, and what was known of the other side with it.
void mux_discovery_end(MuxDiscovery *discovery);

// One of our services is new, has changed, or is gone.
void mux_discovery_offer(MuxDiscovery *discovery, const char *service, MuxChange change);

// {"daemon", "version"} of the other side, or NULL while that is not known. The caller's.
json_object *mux_discovery_peer_json(const MuxDiscovery *discovery);
