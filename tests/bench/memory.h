// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is measured of named buffers, by way of libmuxclient: a bulk stream of pieces that lie in
// one, and notices. Both ends are here.
//
// A bulk stream begins with one piece that is all of the stretch that is used: until that has been
// given back, nothing else can be sent. Then both ends have the memory mapped and have touched it,
// and the clock begins.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

// How to reach the daemon: nothing in a guest; on a host its socket and the VM's name.
typedef struct MemoryPlace {
    const char *socket, *link;
} MemoryPlace;

// Makes a buffer and sends pieces of blocks->size bytes through it, each made in place: so many as
// blocks->count says, until all were given back; with 0 until blocks->stop can be read, or the
// other end has gone. The seconds that took, and how many bytes those were.
double memory_send(int channel, const MemoryPlace *place, const Blocks *blocks,
                   uint64_t *ret_bytes);

// Takes all pieces, or those until blocks->stop can be read, and looks at each byte in place.
double memory_take(int channel, const MemoryPlace *place, const Blocks *blocks,
                   uint64_t *ret_bytes);

// Makes buffer `number`, has the other end open it with the request that was prepared, and times
// rounds of a notice and the one that answers it, in microseconds.
void memory_time_notices(int fd, const MemoryPlace *place, double *times, size_t count);
// The other end, when it was requested.
bool memory_answer_notices(int fd, const MemoryPlace *place, uint32_t number, uint64_t count);
