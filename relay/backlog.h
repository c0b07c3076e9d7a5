// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Bytes that a local socket would not take yet. How many there can be is bounded by the credit that
// was granted for them.
#pragma once

#include <stddef.h>
#include <sys/uio.h>

typedef struct MuxChunk MuxChunk;

typedef struct MuxBacklog {
    MuxChunk *first, *last;
    size_t size; // bytes
} MuxBacklog;

// Copies `size` bytes to the end.
void mux_backlog_append(MuxBacklog *backlog, const void *bytes, size_t size);
// Lends up to `most` pieces of what is first. Returns how many.
size_t mux_backlog_peek(const MuxBacklog *backlog, struct iovec *pieces, size_t most);
// Drops the first `size` bytes.
void mux_backlog_drop(MuxBacklog *backlog, size_t size);
// Drops everything. Harmless on an empty one.
void mux_backlog_clear(MuxBacklog *backlog);
