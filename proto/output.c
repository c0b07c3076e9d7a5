// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames stand one behind the other in one buffer, because virtio_console's write() gathers
// nothing: each element of a writev() would take one of its 128 descriptors. A payload is read from
// its socket straight to where it stands in the batch, so gathering costs no copy.
//
// Invariant: start <= end <= MUX_FRAME_MAX; nothing is added while 0 < start < end.

#include "output.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hello.h"
#include "limits.h"

int mux_output_init(MuxOutput *output)
{
    *output = (MuxOutput){.bytes = malloc(MUX_FRAME_MAX)};
    return output->bytes ? 0 : -ENOMEM;
}

void mux_output_deinit(MuxOutput *output)
{
    free(output->bytes);
    *output = (MuxOutput){0};
}

void mux_output_restart(MuxOutput *output)
{
    memset(output->bytes, 0, MUX_FRAME_MAX);
    output->start = 0;
    output->end = MUX_FRAME_MAX;
}

void mux_output_begin(MuxOutput *output, uint64_t key)
{
    output->key = key;
    output->sequence = 1;
    output->sent = output->acked = output->beside = output->beside_acked = output->asked = 0;
    output->n_asks = 0;
}

size_t mux_output_room(const MuxOutput *output)
{
    size_t left = MUX_FRAME_MAX - output->end;
    if (output->start > 0 || left <= MUX_HEADER_SIZE + MUX_GUARD_SIZE)
        return 0;
    return left - MUX_HEADER_SIZE - MUX_GUARD_SIZE;
}

uint8_t *mux_output_payload(MuxOutput *output)
{
    return output->bytes + output->end + MUX_HEADER_SIZE;
}

static void note_ask(MuxOutput *output)
{
    unsigned i = output->n_asks < MUX_ASKS ? output->n_asks++ : MUX_ASKS - 1;

    output->asks[i] = (MuxAsk){output->sent, output->beside};
    output->asked = output->sent + output->beside;
}

void mux_output_frame(MuxOutput *output, MuxFrameType type, uint32_t channel, uint16_t length)
{
    assert(mux_output_room(output) >= length && mux_output_room(output) > 0);

    output->sent += mux_frame_size(length);
    bool ask = output->sent + output->beside - output->asked >= output->most / 2;
    if (ask)
        note_ask(output);
    MuxFrame frame = {type, length, channel, output->sequence++, ask};
    mux_frame_seal(output->bytes + output->end, &frame, output->key);
    output->end += mux_frame_size(length);
}

void mux_output_beside(MuxOutput *output, uint64_t n)
{
    output->beside += n;
}

bool mux_output_hello(MuxOutput *output, const uint8_t *hello)
{
    if (output->start > 0 || MUX_FRAME_MAX - output->end < MUX_HELLO_SIZE)
        return false;
    memcpy(output->bytes + output->end, hello, MUX_HELLO_SIZE);
    output->end += MUX_HELLO_SIZE;
    return true;
}

size_t mux_output_pending(const MuxOutput *output, const uint8_t **ret_base)
{
    *ret_base = output->bytes + output->start;
    return output->end - output->start;
}

void mux_output_written(MuxOutput *output, size_t n)
{
    assert(n <= output->end - output->start);
    output->start += n;
    if (output->start == output->end)
        output->start = output->end = 0;
}

bool mux_output_acked(MuxOutput *output, uint64_t untrusted_bytes)
{
    if (untrusted_bytes < output->acked || untrusted_bytes > output->sent)
        return false;
    output->acked = untrusted_bytes;
    while (output->n_asks > 0 && output->asks[0].sent <= output->acked) {
        output->beside_acked = output->asks[0].beside;
        memmove(output->asks, output->asks + 1, --output->n_asks * sizeof(*output->asks));
    }
    if (output->acked == output->sent)
        output->beside_acked = output->beside;
    return true;
}

void mux_output_limit(MuxOutput *output, uint64_t most)
{
    output->most = most;
}
