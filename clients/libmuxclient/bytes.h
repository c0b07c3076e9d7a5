// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Numbers in messages: the lowest byte first.
#pragma once

#include <stdint.h>

static inline uint64_t get_number(const unsigned char *at, unsigned size)
{
    uint64_t number = 0;

    while (size-- > 0)
        number = number << 8 | at[size];
    return number;
}

static inline void put_number(unsigned char *to, unsigned size, uint64_t number)
{
    for (unsigned i = 0; i < size; i++, number >>= 8)
        to[i] = (unsigned char)number;
}
