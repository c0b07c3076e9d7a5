// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "pipe.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define WRITES  128
#define ROOM    ((size_t)12 << 20)
#define HISTORY ((size_t)128 << 10)

void pipe_init(Pipe *pipe, Run *run)
{
    *pipe = (Pipe){.run = run, .bytes = malloc(ROOM), .undisturbed = ROOM};
    if (!pipe->bytes)
        abort();
}

void pipe_deinit(Pipe *pipe)
{
    free(pipe->bytes);
    *pipe = (Pipe){0};
}

void pipe_calm(Pipe *pipe)
{
    pipe->max_bytes = (size_t)WRITES * MUX_FRAME_MAX;
    pipe->max_writes = WRITES;
    pipe->max_read = 65536;
    pipe->stalled = pipe->closed = false;
}

void pipe_choose(Pipe *pipe, bool towards_host)
{
    static const size_t reads[] = {1, 7, 100, 4096, 4096, 65536, 262144};
    Run *run = pipe->run;

    pipe_calm(pipe);
    pipe->whole = towards_host;
    pipe->max_read = reads[run_below(run, sizeof(reads) / sizeof(reads[0]))];
    if (run_chance(run, 30))
        pipe->max_writes = 1 + (unsigned)run_below(run, 4);
    if (!towards_host && run_chance(run, 40))
        pipe->max_bytes = 1 + run_size(run, 65536);
}

// Moves what is there to the front, with some of what was read.
static void make_room(Pipe *pipe)
{
    if (ROOM - pipe->end >= MUX_FRAME_MAX)
        return;
    size_t keep = pipe->start < HISTORY ? pipe->start : HISTORY;
    size_t from = pipe->start - keep;
    memmove(pipe->bytes, pipe->bytes + from, pipe->end - from);
    pipe->start -= from;
    pipe->end -= from;
}

size_t pipe_write(Pipe *pipe, const uint8_t *bytes, size_t n)
{
    size_t waiting = pipe_waiting(pipe);

    if (pipe->closed || pipe->writes >= pipe->max_writes || waiting >= pipe->max_bytes)
        return 0;
    if (!pipe->whole && n > pipe->max_bytes - waiting)
        n = pipe->max_bytes - waiting;
    if (!pipe->whole && run_chance(pipe->run, 10) && !pipe->run->quiet)
        n = 1 + run_below(pipe->run, n);
    make_room(pipe);
    memcpy(pipe->bytes + pipe->end, bytes, n);
    pipe->end += n;
    pipe->sizes[(pipe->first + pipe->writes++) % WRITES] = n;
    return n;
}

// `n` bytes left at the front: which writes are over?
static void forget_front(Pipe *pipe, size_t n)
{
    while (n > 0 && pipe->writes > 0) {
        size_t *size = &pipe->sizes[pipe->first];
        if (*size > n) {
            *size -= n;
            return;
        }
        n -= *size;
        pipe->last_write = *size;
        pipe->first = (pipe->first + 1) % WRITES;
        pipe->writes--;
    }
}

size_t pipe_read(Pipe *pipe, uint8_t *bytes, size_t n)
{
    size_t waiting = pipe_waiting(pipe);

    if (pipe->stalled)
        return 0;
    if (n > waiting)
        n = waiting;
    if (n > pipe->max_read)
        n = pipe->max_read;
    if (n > 1 && run_chance(pipe->run, 20))
        n = 1 + run_below(pipe->run, n);
    memcpy(bytes, pipe->bytes + pipe->start, n);
    pipe->start += n;
    pipe->undisturbed += n;
    forget_front(pipe, n);
    return n;
}

void pipe_lose_front(Pipe *pipe, size_t n)
{
    if (n > pipe_waiting(pipe))
        n = pipe_waiting(pipe);
    pipe->undisturbed = 0;
    pipe->start += n;
    forget_front(pipe, n);
}

void pipe_lose_tail(Pipe *pipe, size_t n)
{
    if (n > pipe_waiting(pipe))
        n = pipe_waiting(pipe);
    pipe->undisturbed = 0;
    pipe->end -= n;
    while (n > 0 && pipe->writes > 0) {
        size_t *size = &pipe->sizes[(pipe->first + pipe->writes - 1) % WRITES];
        if (*size > n) {
            *size -= n;
            return;
        }
        n -= *size;
        pipe->writes--;
    }
}

void pipe_lose_write(Pipe *pipe)
{
    if (pipe->writes > 0)
        pipe_lose_tail(pipe, pipe->sizes[(pipe->first + pipe->writes - 1) % WRITES]);
}

void pipe_repeat(Pipe *pipe, size_t n)
{
    if (n > pipe->start)
        n = pipe->start;
    if (n == 0 || pipe->writes >= WRITES)
        return;
    pipe->undisturbed = 0;
    pipe->start -= n;
    pipe->first = (pipe->first + WRITES - 1) % WRITES;
    pipe->sizes[pipe->first] = n;
    pipe->writes++;
}

void pipe_repeat_write(Pipe *pipe)
{
    pipe_repeat(pipe, pipe->last_write);
}
