// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The guest's part of shared memory: finds the devices that the host plugs, proves that they are
// shared, gives programs their descriptors, and says when nobody has a device any more. PROTOCOL.md
// has the lines of the channel @memory.
#pragma once

#include "relay/memory.h"

typedef struct MuxMemory MuxMemory;

// For the daemon, which has one link; MuxRelay.memory and .memory_user are set. `folder`: files
// that stand for devices are there; NULL: PCI devices. NULL with an error.
MuxMemory *mux_memory_new(MuxRelay *relay, const char *folder, GError **error);
// After the links. NULL is fine; returns NULL.
MuxMemory *mux_memory_free(MuxMemory *memory);
