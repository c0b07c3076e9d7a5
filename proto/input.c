// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One flat buffer. What is left of an unfinished frame is moved to the front when the space behind
// it gets short: less than a frame a buffer's length. Payloads are lent in place, never copied.
//
// Invariant: start <= end <= MUX_INPUT_SIZE; bytes before start have been taken.

#include "input.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

int mux_input_init(MuxInput *input)
{
    *input = (MuxInput){.bytes = malloc(MUX_INPUT_SIZE)};
    return input->bytes ? 0 : -ENOMEM;
}

void mux_input_deinit(MuxInput *input)
{
    free(input->bytes);
    *input = (MuxInput){0};
}

void mux_input_clear(MuxInput *input)
{
    input->start = input->end = 0;
}

size_t mux_input_space(MuxInput *input, uint8_t **ret_base)
{
    size_t held = input->end - input->start;

    if (held == 0) {
        mux_input_clear(input);
    } else if (MUX_INPUT_SIZE - input->end < MUX_FRAME_MAX && input->start >= held) {
        memcpy(input->bytes, input->bytes + input->start, held);
        input->start = 0;
        input->end = held;
    }
    *ret_base = input->bytes + input->end;
    return MUX_INPUT_SIZE - input->end;
}

void mux_input_filled(MuxInput *input, size_t n)
{
    assert(n <= MUX_INPUT_SIZE - input->end);
    input->end += n;
}

// What sixteen bytes that are no header of this session are: a peer that starts anew sends zeros
// first.
static int no_frame(const uint8_t *header)
{
    static const uint8_t zeros[MUX_HEADER_SIZE];
    return memcmp(header, zeros, MUX_HEADER_SIZE) == 0 ? MUX_INPUT_ANEW : MUX_INPUT_LOST;
}

int mux_input_frame(MuxInput *input, uint64_t key, uint32_t sequence, MuxFrame *ret_frame,
                    const uint8_t **ret_payload)
{
    const uint8_t *base = input->bytes + input->start;
    size_t size = input->end - input->start;
    MuxFrame frame;

    if (size < MUX_HEADER_SIZE)
        return MUX_INPUT_MORE;
    if (mux_frame_decode(base, key, &frame) != 0)
        return no_frame(base);
    if (frame.sequence != sequence || frame.type == MUX_FRAME_HELLO)
        return MUX_INPUT_LOST;
    if (size < mux_frame_size(frame.length))
        return MUX_INPUT_MORE;
    if (!mux_frame_guarded(base, frame.length))
        return MUX_INPUT_LOST;

    input->start += mux_frame_size(frame.length);
    *ret_frame = frame;
    *ret_payload = base + MUX_HEADER_SIZE;
    return 0;
}

int mux_input_hello(MuxInput *input, MuxHello *ret_hello)
{
    size_t used;
    int r =
        mux_hello_find(input->bytes + input->start, input->end - input->start, ret_hello, &used);
    input->start += used;
    return r == 0 ? 0 : MUX_INPUT_MORE;
}
