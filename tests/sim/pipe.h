// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One direction of the port. It keeps bytes in order, and does to them what the real one was seen
// to do, or may be feared to do: pushes back, stalls, splits, merges, loses and repeats.
#pragma once

#include "run.h"

typedef struct Pipe {
    Run *run;
    uint8_t *bytes;
    size_t start, end; // what is on its way; what was read stands before start for a while
    size_t sizes[128]; // of the writes that are on their way
    unsigned first, writes;
    size_t last_write;  // size of the newest that was read to its end
    size_t undisturbed; // bytes that were read since something was lost or repeated
    size_t max_bytes;   // that are taken before it pushes back
    unsigned max_writes;
    bool whole;      // takes a write whole or not at all, as virtio_console does
    size_t max_read; // a read gives at most this
    bool stalled;    // nothing comes out
    bool closed;     // nothing goes in
} Pipe;

void pipe_init(Pipe *pipe, Run *run);
void pipe_deinit(Pipe *pipe);
// Chooses how it behaves, or for the quiet phase makes it behave.
void pipe_choose(Pipe *pipe, bool towards_host);
void pipe_calm(Pipe *pipe);

size_t pipe_write(Pipe *pipe, const uint8_t *bytes, size_t n);
size_t pipe_read(Pipe *pipe, uint8_t *bytes, size_t n);

// Loses the oldest bytes; the newest; the whole newest write.
void pipe_lose_front(Pipe *pipe, size_t n);
void pipe_lose_tail(Pipe *pipe, size_t n);
void pipe_lose_write(Pipe *pipe);
// Gives the last `n` bytes that were read once more, or the last whole write.
void pipe_repeat(Pipe *pipe, size_t n);
void pipe_repeat_write(Pipe *pipe);

static inline size_t pipe_waiting(const Pipe *pipe)
{
    return pipe->end - pipe->start;
}
