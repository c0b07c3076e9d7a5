// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the test apps share: opening a channel, a clock, and bytes that look random.
#pragma once

#include <stdint.h>

// Connects to the daemon's socket, asks for a name and reads the answer's line. The channel's
// descriptor (blocking), or -1 when something was printed to stderr.
int app_open(const char *socket_path, const char *name);

uint64_t app_now_us(void);

// The next eight bytes of a stream; *state is its seed at first, and anything but 0.
static inline uint64_t app_noise(uint64_t *state)
{
    // xorshift64*
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}
