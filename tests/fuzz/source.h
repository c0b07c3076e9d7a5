// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The fuzzer's bytes, taken one after the other as whatever is needed. When there are none left it
// is all zeros.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Source {
    const uint8_t *bytes;
    size_t left;
} Source;

static inline uint8_t source_8(Source *source)
{
    if (source->left == 0)
        return 0;
    source->left--;
    return *source->bytes++;
}

static inline uint16_t source_16(Source *source)
{
    uint16_t low = source_8(source);
    return (uint16_t)(low | source_8(source) << 8);
}

static inline uint32_t source_32(Source *source)
{
    uint32_t low = source_16(source);
    return low | (uint32_t)source_16(source) << 16;
}

static inline uint64_t source_64(Source *source)
{
    uint64_t low = source_32(source);
    return low | (uint64_t)source_32(source) << 32;
}

// Numbers that are worth trying come more often than others.
static inline uint64_t source_number(Source *source)
{
    uint8_t kind = source_8(source);
    if (kind < 128)
        return kind;
    if (kind < 192)
        return source_16(source);
    if (kind < 216)
        return ((uint64_t)1 << kind % 64) - kind / 8 % 2;
    return kind < 232 ? UINT64_MAX - source_8(source) : source_64(source);
}

// Up to `n` bytes in place; how many there are.
static inline size_t source_bytes(Source *source, size_t n, const uint8_t **ret_bytes)
{
    if (n > source->left)
        n = source->left;
    *ret_bytes = source->bytes;
    source->bytes += n;
    source->left -= n;
    return n;
}
