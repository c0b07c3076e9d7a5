// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The VMs that hostmux serves: from --vm, and from "vms" in the configuration.
#pragma once

#include <json-c/json.h>

#include "relay/relay.h"

// Makes the relay's links those that `options` ("NAME=unix:PATH", ended by NULL; or NULL) and `vms`
// ({"NAME": {"port": "unix:PATH"}}, or NULL) say: links that are neither new nor changed go on
// undisturbed. The command line beats the file. False with an error; then nothing was changed.
bool mux_vms_apply(MuxRelay *relay, char **options, json_object *vms, GError **error);
