// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// HELLO: the one frame that is known without a session, and how it is found among garbage.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum MuxRole {
    MUX_GUEST = 1, // opens odd channels
    MUX_HOST = 2,  // opens even channels
} MuxRole;

typedef struct MuxHello {
    uint16_t version_min, version_max;
    uint8_t role;  // a MuxRole once checked by the session
    uint64_t id;   // the sender's session id, never 0
    uint64_t echo; // the last id that the sender heard from us, or 0
    uint32_t features;
    uint32_t channels; // that the sender lets us have open
    uint32_t pending;  // of those, not yet answered
} MuxHello;

// A HELLO frame has this size in every version, now and later: so a false start in garbage can
// never hide a true one behind it.
#define MUX_HELLO_SIZE 80

#define MUX_HELLO_NONE 1

// Writes the whole frame, MUX_HELLO_SIZE bytes.
void mux_hello_encode(uint8_t *base, const MuxHello *hello);

// Looks for a HELLO in `size` bytes. Returns 0 with the HELLO and with how many bytes it and all
// before it take, or MUX_HELLO_NONE with how many bytes at the start cannot belong to one.
int mux_hello_find(const uint8_t *base, size_t size, MuxHello *ret_hello, size_t *ret_used);
