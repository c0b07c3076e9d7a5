// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a process has mapped, as /proc/PID/maps has it, a piece at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// A file that is mapped.
typedef struct MuxMapping {
    const char *range; // "START-END"; with a space behind it
    const char *path;
    dev_t device;
    ino_t inode;
} MuxMapping;

typedef struct MuxMaps {
    int fd; // -1: none
    bool any;
    bool skipping; // the rest of a line that was too long
    size_t used;
    char buffer[16384];
} MuxMaps;

// Reads `file`, "maps" or "task/TID/maps", of the process whose folder in /proc is open as
// `process`. 0 or a negative errno.
int mux_maps_open(MuxMaps *maps, int process, const char *file);
// One piece of a few kilobytes; `fn` is called for each file in it. 1: there is more; 0: that was
// all, and it is closed, as it is after a negative errno.
int mux_maps_read(MuxMaps *maps, void (*fn)(void *user, const MuxMapping *mapping), void *user);
void mux_maps_close(MuxMaps *maps);

// Whether the memory that is mapped at `range` is a device's, as `file`, "smaps" or
// "task/TID/smaps", says.
bool mux_maps_is_device(int process, const char *file, const char *range);
