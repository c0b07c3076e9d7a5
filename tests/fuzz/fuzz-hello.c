// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Looking for a HELLO in garbage: never out of bounds, never past one that is there, and the same
// however the bytes come in pieces.

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "craft.h"

#define MOST 8192

typedef struct Found {
    unsigned count;
    uint64_t ids;
} Found;

// All HELLOs in what comes `piece` bytes at a time, as input.c looks for them.
static Found look(const uint8_t *bytes, size_t size, size_t piece)
{
    Found found = {0};
    size_t start = 0;

    for (size_t end = 0; end < size;) {
        MuxHello hello;
        size_t used;

        end = size - end < piece ? size : end + piece;
        // A copy of exactly this size, so that the sanitizer sees a byte too far.
        uint8_t *copy = malloc(end - start + 1);
        if (!copy)
            abort();
        memcpy(copy, bytes + start, end - start);
        size_t at = 0;
        while (mux_hello_find(copy + at, end - start - at, &hello, &used) == 0) {
            if (used < MUX_HELLO_SIZE || hello.id == 0)
                abort();
            at += used;
            found.count++;
            found.ids = mux_frame_mix(found.ids + hello.id);
        }
        if (used > end - start - at)
            abort();
        start += at + used;
        free(copy);
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t all[MOST + 8 * MUX_HELLO_SIZE];
    static Craft craft;
    Source source = {bytes, size < MOST ? size : MOST};
    size_t piece = 1 + source_8(&source), n = 0;
    unsigned whole = 0;

    craft = (Craft){.role = MUX_GUEST, .id = 1, .peer_id = 2};
    while (source.left > 0) {
        const uint8_t *garbage;
        size_t length = source_bytes(&source, source_8(&source), &garbage);
        memcpy(all + n, garbage, length);
        n += length;
        if (length % 4 == 0 && whole < 8) {
            size_t hello = length % 8 ? craft_odd_hello(&craft, &source) : craft_hello(&craft);
            memcpy(all + n, craft.bytes, hello);
            n += hello;
            whole++;
        }
    }
    Found at_once = look(all, n, n ? n : 1), in_pieces = look(all, n, piece);
    if (at_once.count != in_pieces.count || at_once.ids != in_pieces.ids)
        abort();
    return 0;
}
