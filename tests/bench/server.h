// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The end that does what it is asked for, in the guest. Who measures is at the other end, has the
// clock, and says before each measurement what is to be done. Both run on one processor's kind, so
// a request goes as it lies in memory.
#pragma once

#include <stdint.h>

#define SERVER_ONCE_MAX 4096 // bytes

typedef enum ServerTask {
    SERVER_ECHO = 1, // messages of `size` bytes, up to one whose first is 1
    SERVER_SINK,     // takes blocks up to the last; answers with a byte
    SERVER_SOURCE,   // sends `count` blocks; with 0 until a byte comes
    // The connection is a bulk stream's channel from now on; with 0 until the other end goes.
    SERVER_BULK_SINK,
    SERVER_BULK_SOURCE,
    SERVER_ONCE,    // one message of `size` bytes, which comes back
    SERVER_NOTICES, // opens buffer `number`, answers with a byte, answers `count` notices
} ServerTask;

typedef struct ServerRequest {
    uint32_t task;
    uint32_t size; // bytes, of a message or block
    uint64_t count;
    uint32_t touch; // as in Blocks
    uint32_t number;
} ServerRequest;

// Does what is asked on a connection until that ends.
void server_run(int fd);

// For ever: each connection has a process of its own, from the first request but SERVER_ONCE on.
void server_listen(const char *path);
// Until the port is closed.
void server_device(const char *path);
