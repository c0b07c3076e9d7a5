// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Two ends of a protocol in memory, between which frames of one size go: what each contender of the
// bench "frames" is, and what frames.c has for it.
//
// A socket's read() and write(), and the port's, are frames_copy(): twice for each payload byte in
// encoding (socket to frame, frame to port) and twice in decoding, with every contender.
#pragma once

#include <stddef.h>
#include <stdint.h>

// What a port's reader gets at once.
#define FRAMES_PIECE 32768

// A port's direction: what was written and not yet read.
typedef struct Wire {
    size_t size;
    uint8_t bytes[512 << 10];
} Wire;

// The sender's `out` is the receiver's `in`.
typedef struct Wires {
    Wire out, back;
} Wires;

// Ends as `contender` begins a session, and opens what frames of `size` bytes go through.
void contender_start(Wires *wires, size_t size);
// The sender takes in what came back, and writes `frames` frames from `source` to wires->out.
// Returns how many bytes of payload they have together.
size_t contender_encode(Wires *wires, const uint8_t *source, size_t frames);
// The receiver reads all of wires->out, copies payloads to `sink`, each to its beginning, and
// writes what it has to say to wires->back. Returns how many bytes of payload came.
size_t contender_decode(Wires *wires, uint8_t *sink);

// memcpy(): one that is called in encoding, another in decoding.
extern void (*frames_copy)(void *to, const void *from, size_t n);
// Puts `n` bytes behind what is there.
void frames_write(Wire *wire, const void *bytes, size_t n);
