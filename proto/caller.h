// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who opens a channel, as OPEN's attributes carry it. To the receiver it is what the other machine
// says of its own users, and no more than that.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_PROGRAM_MAX 31

// The most bytes that mux_caller_encode() writes.
#define MUX_CALLER_SIZE (4 + 8 + MUX_PROGRAM_MAX)

typedef struct MuxCaller {
    bool known; // or the opener did not say
    uint32_t uid, gid;
    char program[MUX_PROGRAM_MAX + 1]; // printable ASCII; may be empty
} MuxCaller;

// Writes the attribute. Returns how many bytes; 0 for a caller that is not known.
size_t mux_caller_encode(uint8_t *base, const MuxCaller *caller);

#define MUX_CALLER_BAD 1

// Reads the caller from an OPEN's attributes, and skips those that are of later versions. 0, or
// MUX_CALLER_BAD when they overrun their `size` bytes.
int mux_caller_decode(const uint8_t *attributes, size_t size, MuxCaller *ret_caller);
