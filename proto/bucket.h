// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A token bucket: so many at once, so many a second.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct MuxBucket {
    uint32_t tokens, burst, per_second;
    uint64_t filled_us;
} MuxBucket;

// A full bucket.
void mux_bucket_init(MuxBucket *bucket, uint32_t burst, uint32_t per_second, uint64_t now_us);
// Takes a token; false when there is none.
bool mux_bucket_take(MuxBucket *bucket, uint64_t now_us);
// Takes so many; or none, and false, when there are fewer.
bool mux_bucket_take_some(MuxBucket *bucket, uint32_t tokens, uint64_t now_us);
