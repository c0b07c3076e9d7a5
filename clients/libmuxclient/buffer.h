// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer that is open: its memory and its connection.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer-info.h"
#include "control.h"
#include "muxclient.h"

// On the connection both sides write records: type, length of what follows, and that; all numbers
// have their lowest byte first.
#define MUX_CLIENT_RECORD_HEADER 8
#define MUX_CLIENT_RECORD_MAX    65536

// To the daemon.
#define MUX_CLIENT_RECORD_NOTIFY 1 // u64 offset, u64 length
#define MUX_CLIENT_RECORD_SET    2 // JSON
// From it.
#define MUX_CLIENT_RECORD_NOTICE     1 // u64 sequence, u64 offset, u64 length
#define MUX_CLIENT_RECORD_PROPERTIES 2 // JSON
#define MUX_CLIENT_RECORD_GONE       3 // why, a text

struct MuxClientBuffer {
    MuxClientLines lines; // the connection, from which no line is read any more
    void *memory;         // mapped, or NULL
    size_t size;          // of that
    bool writable;
    bool can_shrink;
    MuxClientBufferBox box;

    unsigned char header[MUX_CLIENT_RECORD_HEADER]; // of the record that is being read
    size_t header_length;                           // of that, is there
    char *payload;                                  // what follows it, …
    size_t payload_length, payload_room;
    MuxClientBufferNews news;
    char reason[256]; // why it has ended
    int ended;        // the result of mux_client_buffer_next() from now on, or 0

    char *unsent; // the rest of a record of which the beginning was sent; owned
    size_t unsent_from, unsent_length;
};

// Reads the answer to an open, and maps the descriptor that came with it; which is closed. 0;
// -EPROTO if they make no sense; else a negative errno.
int mux_client_buffer_map(MuxClientBuffer *buffer, MuxClientJson answer, const char *name);
