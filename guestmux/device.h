// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One device whose memory the guest shares with its host: BAR 2 of an ivshmem-plain, or a file that
// stands for such a device.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MUX_MARK_SIZE 16

typedef struct MuxDevice {
    char *name; // its address, "0000:00:05.0"; a file's name
    char *path; // of what is mapped
    int fd;     // open for reading
    int other;  // …the same in the /sys that process 1 has, where that is not ours; or -1
    bool sure;  // that there is no other, or it is open
    uint64_t size;
    dev_t device; // which file that is; for PCI the inode alone says so, and is never used again
    ino_t inode;
    bool pci;
} MuxDevice;

// Opens what is at `path`, and nothing is mapped. 0 or a negative errno.
int mux_device_new(const char *name, const char *path, bool pci, MuxDevice **ret_device);
// NULL is fine; returns NULL.
MuxDevice *mux_device_free(MuxDevice *device);

// Whether it is still plugged.
bool mux_device_is_there(const MuxDevice *device);

// Whether nobody but this MuxDevice has it: open, mapped, or on its way in a socket. 1, or 0, also
// when it was unplugged; or a negative errno when the kernel does not tell, as of files that stand
// for devices.
int mux_device_is_alone(const MuxDevice *device);

// Copies what stands within its first page. 0 or a negative errno: -EPERM when the kernel does not
// let anybody map it (lockdown).
int mux_device_read(const MuxDevice *device, size_t offset, void *to, size_t size);
int mux_device_write(const MuxDevice *device, size_t offset, const void *from, size_t size);

// A new descriptor, close-on-exec, or a negative errno.
int mux_device_open(const MuxDevice *device, bool write);
