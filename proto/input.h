// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The receive buffer: bytes of the port in, whole frames out, in place.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "hello.h"

typedef struct MuxInput {
    uint8_t *bytes; // MUX_INPUT_SIZE of them
    size_t start, end;
} MuxInput;

#define MUX_INPUT_MORE 1 // no whole frame is there yet
#define MUX_INPUT_LOST 2 // what is there is not the frame that has to be there
#define MUX_INPUT_ANEW 3 // the peer starts anew: the zeros before its HELLO are there

// 0 or -ENOMEM.
int mux_input_init(MuxInput *input);
void mux_input_deinit(MuxInput *input);
void mux_input_clear(MuxInput *input);

// Lends the space behind what is there. 0 when full, which cannot be once all frames were taken.
// Pointers that were lent before are void.
size_t mux_input_space(MuxInput *input, uint8_t **ret_base);
void mux_input_filled(MuxInput *input, size_t n);

// Takes the next frame, which has to have this key and sequence number. Returns 0 with the frame
// and its payload in place, or one of the above.
int mux_input_frame(MuxInput *input, uint64_t key, uint32_t sequence, MuxFrame *ret_frame,
                    const uint8_t **ret_payload);

// Throws away everything up to a HELLO and takes that. Returns 0 or MUX_INPUT_MORE.
int mux_input_hello(MuxInput *input, MuxHello *ret_hello);
