// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Bytes that a local socket would not take yet. How many there can be is bounded by the credit that
// was granted for them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/session.h"

typedef struct MuxChunk MuxChunk;

typedef struct MuxBacklog {
    MuxChunk *first, *last;
    size_t size;         // bytes
    MuxSession *session; // whose slots there are in it; NULL: there are none
} MuxBacklog;

// Copies `size` bytes to the end.
void mux_backlog_append(MuxBacklog *backlog, const void *bytes, size_t size);
// Puts `size` bytes that lie in a slot behind the others. They stay where they are; the slot is
// given back when they are dropped.
void mux_backlog_append_slot(MuxBacklog *backlog, const void *bytes, size_t size, uint64_t slot);
// Copies what lies in slots, by way of the file `scratch`: their region goes away. False when it
// could not be read; the backlog is then empty.
bool mux_backlog_rescue(MuxBacklog *backlog, int scratch);
// Lends up to `most` pieces of what is first. Returns how many.
size_t mux_backlog_peek(const MuxBacklog *backlog, struct iovec *pieces, size_t most);
// Drops the first `size` bytes.
void mux_backlog_drop(MuxBacklog *backlog, size_t size);
// Drops everything. Harmless on an empty one.
void mux_backlog_clear(MuxBacklog *backlog);
