// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What goes over a connection: messages that are echoed, and blocks of bytes one way. A connection
// is a socket or a virtio-serial port, and blocking.
//
// Blocks follow each other without anything between them. A block's first byte is 1 in the last one
// and 0 in all others, so that a stream can be ended without ending the connection.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BLOCK_MAX (16 << 20)

typedef struct Blocks {
    size_t size;    // bytes in a block, and at most in one read
    uint64_t count; // 0: until `stop` can be read
    bool touch;     // the sender makes each block anew, the receiver looks at each byte once
    int stop;
    int tell; // a byte is written there when the first `tell_after` have gone; -1: not
    unsigned tell_after;
} Blocks;

double seconds(void); // of a clock that never goes back

// All of it, or false: the other end is gone.
bool write_all(int fd, const void *bytes, size_t size);
bool read_all(int fd, void *bytes, size_t size);

// What making and looking at bytes is here: one value to each byte; the sum of them as 64-bit
// numbers.
void make_bytes(void *bytes, size_t size, uint64_t which);
uint64_t look_at_bytes(const void *bytes, size_t size);

// For who moves blocks in another way: whether it is time to end; that the n-th has gone.
bool blocks_told_to_stop(const Blocks *blocks);
void blocks_tell(const Blocks *blocks, uint64_t n);

// Sends blocks / takes them up to the last. How many bytes, 0 if the other end went before.
uint64_t send_blocks(int fd, const Blocks *blocks);
uint64_t take_blocks(int fd, const Blocks *blocks);
