// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The host's part of shared memory: makes it, gives it to QEMU as a device, has the guest prove
// that it sees it, and takes it away when nobody has it any more. PROTOCOL.md has the lines of the
// channel @memory, on which the guest is told.
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "relay/memory.h"

typedef struct MuxMemory MuxMemory;

// One VM's, as configured; all strings are owned.
typedef struct MuxMemorySettings {
    char *qmp;              // "unix:PATH", or NULL
    char *shm_out, *shm_in; // files that QEMU was started with, or NULL
    bool no_offload;        // nothing is plugged for that
} MuxMemorySettings;

void mux_memory_settings_clear(MuxMemorySettings *settings);
bool mux_memory_settings_equal(const MuxMemorySettings *a, const MuxMemorySettings *b);

// Who besides the VM that made it gets a buffer; the strings are owned.
typedef struct MuxSharing {
    char *buffer, *from;
    GStrv to; // VMs or patterns of them
} MuxSharing;

// For the daemon; MuxRelay.memory and .memory_user are set.
MuxMemory *mux_memory_new(MuxRelay *relay);
// The daemon ends: what systemd keeps for the next one stays as it is from here on.
void mux_memory_end(MuxMemory *memory);
// After the links. NULL is fine; returns NULL.
MuxMemory *mux_memory_free(MuxMemory *memory);

// Where nodes are made, an absolute path, and the shares in force (of MuxSharing, owned with it);
// both may be called again.
void mux_memory_set_run(MuxMemory *memory, const char *folder);
void mux_memory_set_shares(MuxMemory *memory, GPtrArray *shares);

// A new link gets its part; the settings are taken over. False with an error.
bool mux_memory_attach(MuxMemory *memory, MuxLink *link, MuxMemorySettings *settings,
                       GError **error);
const MuxMemorySettings *mux_memory_of(const MuxLink *link);
