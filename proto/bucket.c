// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Refilled when asked, by whole tokens, so that it needs no timer and loses no fraction.

#include "bucket.h"

#define SECOND 1000000u

void mux_bucket_init(MuxBucket *bucket, uint32_t burst, uint32_t per_second, uint64_t now_us)
{
    *bucket = (MuxBucket){burst, burst, per_second, now_us};
}

static void refill(MuxBucket *bucket, uint64_t now_us)
{
    uint64_t since = now_us > bucket->filled_us ? now_us - bucket->filled_us : 0;
    if (since >= (uint64_t)bucket->burst * SECOND / bucket->per_second) {
        bucket->tokens = bucket->burst;
        bucket->filled_us = now_us;
        return;
    }
    uint64_t fresh = since * bucket->per_second / SECOND;
    uint64_t room = bucket->burst - bucket->tokens;
    bucket->tokens += (uint32_t)(fresh < room ? fresh : room);
    bucket->filled_us += fresh * SECOND / bucket->per_second;
}

bool mux_bucket_take_some(MuxBucket *bucket, uint32_t tokens, uint64_t now_us)
{
    refill(bucket, now_us);
    if (bucket->tokens < tokens)
        return false;
    bucket->tokens -= tokens;
    return true;
}

bool mux_bucket_take(MuxBucket *bucket, uint64_t now_us)
{
    return mux_bucket_take_some(bucket, 1, now_us);
}
