// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The VMs that hostmux serves: from --vm, from "vms" in the configuration, and those that are found
// by "vm_patterns", which come and go while it runs.
#pragma once

#include <json-c/json.h>

#include "memory.h"
#include "relay/relay.h"

typedef struct MuxVms MuxVms;

// `options` ("NAME=unix:PATH", ended by NULL; or NULL) are lent.
MuxVms *mux_vms_new(MuxRelay *relay, MuxMemory *memory, char **options);
// Leaves the links. NULL is fine; returns NULL.
MuxVms *mux_vms_free(MuxVms *vms);

// Makes the relay's links those that the options, `config` ({"NAME": {"port": "unix:PATH"}}, or
// NULL) and `patterns` (as for mux_patterns_new()) say: links that are neither new nor changed go
// on undisturbed. The command line beats the file, and both beat what is found. False with an
// error; then nothing was changed.
bool mux_vms_configure(MuxVms *vms, json_object *config, char **patterns, GError **error);
