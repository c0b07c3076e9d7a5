// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A HELLO's first 24 bytes (its header, whose fields are all fixed and whose key is 0, and the
// magic) are always the same; so looking for one in garbage is looking for a constant. A checksum
// over the payload keeps a HELLO that was cut and continued by something else from being believed.

#include "hello.h"

#include <string.h>

#include "bytes.h"
#include "frame.h"
#include "limits.h"

#define MAGIC       "guestmux"
#define PREFIX_SIZE (MUX_HEADER_SIZE + 8)
#define SUM_OFFSET  56 // within the payload
#define PAYLOAD     60

static uint32_t hello_sum(const uint8_t *payload)
{
    uint64_t x = 0;
    for (size_t i = 0; i < SUM_OFFSET; i += 8)
        x = mux_frame_mix(x + mux_get64(payload + i));
    return (uint32_t)x;
}

static void seal(uint8_t *base)
{
    mux_frame_seal(base, &(MuxFrame){.type = MUX_FRAME_HELLO, .length = PAYLOAD}, 0);
}

void mux_hello_encode(uint8_t *base, const MuxHello *hello)
{
    uint8_t *p = base + MUX_HEADER_SIZE;

    memset(p, 0, PAYLOAD);
    memcpy(p, MAGIC, 8);
    mux_put16(p + 8, hello->version_min);
    mux_put16(p + 10, hello->version_max);
    p[12] = hello->role;
    mux_put64(p + 16, hello->id);
    mux_put64(p + 24, hello->echo);
    mux_put32(p + 32, hello->features);
    mux_put32(p + 36, hello->channels);
    mux_put32(p + 40, hello->pending);
    mux_put32(p + SUM_OFFSET, hello_sum(p));
    seal(base);
}

static int decode(const uint8_t *base, MuxHello *ret_hello)
{
    const uint8_t *p = base + MUX_HEADER_SIZE;

    if (mux_get32(p + SUM_OFFSET) != hello_sum(p) || !mux_frame_guarded(base, PAYLOAD) ||
        mux_get64(p + 16) == 0)
        return MUX_HELLO_NONE;

    *ret_hello = (MuxHello){
        .version_min = mux_get16(p + 8),
        .version_max = mux_get16(p + 10),
        .role = p[12],
        .id = mux_get64(p + 16),
        .echo = mux_get64(p + 24),
        .features = mux_get32(p + 32),
        .channels = mux_get32(p + 36),
        .pending = mux_get32(p + 40),
    };
    return 0;
}

int mux_hello_find(const uint8_t *base, size_t size, MuxHello *ret_hello, size_t *ret_used)
{
    uint8_t prefix[MUX_HELLO_SIZE] = {0};
    seal(prefix);
    memcpy(prefix + MUX_HEADER_SIZE, MAGIC, 8);

    const uint8_t *p = base, *end = base + size;
    for (; (p = memchr(p, prefix[0], (size_t)(end - p))); p++) {
        size_t left = (size_t)(end - p);
        if (memcmp(p, prefix, left < PREFIX_SIZE ? left : PREFIX_SIZE) != 0)
            continue;
        if (left < MUX_HELLO_SIZE)
            break; // may become one
        if (decode(p, ret_hello) == 0) {
            *ret_used = (size_t)(p - base) + MUX_HELLO_SIZE;
            return 0;
        }
    }
    *ret_used = p ? (size_t)(p - base) : size;
    return MUX_HELLO_NONE;
}
