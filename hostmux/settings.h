// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is said of one VM, with --vm or in the configuration; and who shares which buffers.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "memory.h"

typedef struct MuxVmSettings {
    char *port; // NULL: not said
    MuxMemorySettings memory;
} MuxVmSettings;

void mux_vm_settings_clear(MuxVmSettings *settings);

// What is behind NAME= in --vm: "unix:PATH,qmp=unix:PATH,shm-out=PATH,shm-in=PATH"; a comma in a
// path is written twice. False with an error.
bool mux_vm_settings_option(const char *text, MuxVmSettings *ret_settings, GError **error);
// {"port": …, "qmp": …, "shm-out": …, "shm-in": …, "offload": false}. False with an error.
bool mux_vm_settings_json(json_object *vm, MuxVmSettings *ret_settings, GError **error);

// "shares", of MuxSharing, the caller's; empty when there are none. NULL with an error.
GPtrArray *mux_sharings_read(json_object *config, GError **error);
