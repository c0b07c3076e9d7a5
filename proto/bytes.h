// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Little-endian integers, byte by byte: the wire has neither alignment nor the machine's byte
// order.
#pragma once

#include <stdint.h>

static inline void mux_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void mux_put32(uint8_t *p, uint32_t v)
{
    mux_put16(p, (uint16_t)v);
    mux_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void mux_put64(uint8_t *p, uint64_t v)
{
    mux_put32(p, (uint32_t)v);
    mux_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t mux_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t mux_get32(const uint8_t *p)
{
    return mux_get16(p) | (uint32_t)mux_get16(p + 2) << 16;
}

static inline uint64_t mux_get64(const uint8_t *p)
{
    return mux_get32(p) | (uint64_t)mux_get32(p + 4) << 32;
}
