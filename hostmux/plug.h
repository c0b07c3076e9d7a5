// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One piece of memory as a PCI device (ivshmem-plain) of a VM that runs: plugged and unplugged over
// QMP, one command after the other, and nothing is left behind when one of them fails.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "place.h"
#include "qmp.h"

// What QEMU has of ours begins so; 16 hex digits of the id follow, and behind the memory's
// "-memory".
#define MUX_PLUG_PREFIX "guestmux-"

typedef struct MuxPlug MuxPlug;

typedef struct MuxPlugEvents {
    // QEMU has it. Whether the guest sees it is another matter.
    void (*in)(void *user);
    // QEMU has nothing of it. `why`: it could not be added, or went without being asked to (for
    // people; lent), `full`: the machine has no place for it; NULL: it was removed. The plug may be
    // freed in here.
    void (*out)(void *user, bool full, const char *why);
    // The guest does not let it go; it is tried again until it does.
    void (*stuck)(void *user);
} MuxPlugEvents;

MuxPlug *mux_plug_new(MuxQmp *qmp, uint64_t id, const MuxPlugEvents *events, void *user);
// Forgets it, whatever QEMU has. NULL is fine; returns NULL.
MuxPlug *mux_plug_free(MuxPlug *plug);

// Adds it: `fd` stays the caller's, and must be open until in() or out(). `size` must be the
// file's, a power of two and at least 1 MiB: QEMU ends itself otherwise.
void mux_plug_add(MuxPlug *plug, int fd, uint64_t size, bool readonly);
// QEMU has it already, from an earlier life of ours.
void mux_plug_adopt(MuxPlug *plug);
// Removes it: out() follows.
void mux_plug_remove(MuxPlug *plug);

// The connection to QEMU is there (again), and this is what it has of it.
void mux_plug_look(MuxPlug *plug, bool device, bool memory);
// QEMU says that it is deleted.
void mux_plug_deleted(MuxPlug *plug);

bool mux_plug_is_in(const MuxPlug *plug);
// QEMU's id of the device.
const char *mux_plug_device(const MuxPlug *plug);
// Where it was put.
const MuxPlace *mux_plug_place(const MuxPlug *plug);
