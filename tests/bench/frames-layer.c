// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "frames-layer.h"

#include <err.h>

#include "proto/input.h"
#include "proto/output.h"

static MuxOutput output;
static MuxInput input;
static uint32_t sequence = 1; // of the frame that comes next
static uint64_t key;

void layer_start(void)
{
    if (mux_output_init(&output) < 0 || mux_input_init(&input) < 0)
        errx(1, "no memory");
    key = mux_frame_key(1, 2);
    mux_output_begin(&output, key);
}

void layer_encode(Wire *out, size_t frames)
{
    const uint8_t *base;

    while (frames > 0) {
        for (; frames > 0 && mux_output_room(&output) > 0; frames--)
            mux_output_frame(&output, MUX_FRAME_RECLAIM, 1, 0);
        size_t n = mux_output_pending(&output, &base);
        frames_write(out, base, n);
        mux_output_written(&output, n);
    }
}

static void take_frames(void)
{
    MuxFrame frame;
    const uint8_t *payload;
    int r;

    while ((r = mux_input_frame(&input, key, sequence, &frame, &payload)) == 0)
        sequence++;
    if (r != MUX_INPUT_MORE)
        errx(1, "a frame is not what was sent");
}

size_t layer_decode(Wire *out)
{
    uint8_t *base;
    size_t n;

    for (size_t at = 0; at < out->size; at += n) {
        n = out->size - at;
        n = n < FRAMES_PIECE ? n : FRAMES_PIECE;
        (void)mux_input_space(&input, &base);
        frames_copy(base, out->bytes + at, n);
        mux_input_filled(&input, n);
        take_frames();
    }
    if (sequence != output.sequence)
        errx(1, "not all frames came");
    out->size = 0;
    return 0;
}
