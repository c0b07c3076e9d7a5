// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The devices by which memory is shared with the host: those that are plugged, and word of those
// that come and go.
#pragma once

#include <glib.h>

#include "device.h"
#include "relay/loop.h"

typedef struct MuxDevices MuxDevices;

// Finds ivshmem-plain devices, or in `folder`, unless NULL, the files that stand for such.
// `changed` is called when one may have come or gone. NULL with an error.
MuxDevices *mux_devices_new(MuxLoop *loop, const char *folder, void (*changed)(void *user),
                            void *user, GError **error);
// NULL is fine; returns NULL.
MuxDevices *mux_devices_free(MuxDevices *devices);

// The device of exactly that size whose memory begins with `mark`; the caller's. NULL with an
// error, which is G_IO_ERROR_NOT_FOUND, or G_IO_ERROR_PERMISSION_DENIED when waiting for it is of
// no use.
MuxDevice *mux_devices_find(MuxDevices *devices, uint64_t size, const uint8_t *mark,
                            GError **error);
// The device of that name, whatever is in it; the caller's. NULL when there is none.
MuxDevice *mux_devices_at(MuxDevices *devices, const char *name);

// The device of that address or name is gone: files are remembered, see below.
void mux_devices_gone(MuxDevices *devices, const MuxDevice *device);
// Frees it, but remembers it for as long as somebody has it. NULL is fine.
void mux_devices_let_go(MuxDevices *devices, MuxDevice *device);
// Whether somebody still has one that was let go and is not there any more.
bool mux_devices_are_held(MuxDevices *devices);
// Whether a mapping of `path` (as /proc/PID/maps has it) shows a device that was unplugged.
bool mux_devices_is_unplugged(const MuxDevices *devices, const char *path, dev_t device,
                              ino_t inode);
// Whether it shows this one.
bool mux_device_is(const MuxDevice *device, const char *path, dev_t dev, ino_t inode);
