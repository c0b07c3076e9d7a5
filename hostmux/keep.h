// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Buffers that outlive this process: systemd keeps the descriptors of those that programs in guests
// own, and one of a text that says what they are, and gives them to the next hostmux
// (FileDescriptorStoreMax= in the unit). Without systemd nothing is kept, and all of it is
// harmless.
#pragma once

#include <stdint.h>

#include "relay/buffers/buffers.h"

typedef struct MuxKeep MuxKeep;

// What was kept, as one VM's QEMU may still have it.
typedef struct MuxKept {
    char *vm;
    uint64_t id;
    int fd;
    json_object *facts; // untrusted: as mux_buffers_add() takes them, "guest_writes" besides
} MuxKept;

// Takes over what systemd has for this process.
MuxKeep *mux_keep_new(MuxRelay *relay);
// Leaves everything with systemd. NULL is fine; returns NULL.
MuxKeep *mux_keep_free(MuxKeep *keep);

// A buffer is ready, or is gone, or is other than it was.
void mux_keep_put(MuxKeep *keep, const MuxBuffer *buffer, int fd);
void mux_keep_drop(MuxKeep *keep, uint64_t id);
void mux_keep_change(MuxKeep *keep);

// What was kept of that device of that VM: the caller's, with its descriptor. NULL: nothing.
MuxKept *mux_keep_take(MuxKeep *keep, const char *vm, uint64_t id);
void mux_kept_free(MuxKept *kept);
// What is left of that VM is given up: QEMU does not have it.
void mux_keep_forget(MuxKeep *keep, const char *vm);
