// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames as a hostile peer makes them: with the right key, sequence number and guard, so that they
// get past the checks, and anything at all inside.
#pragma once

#include "owner.h"
#include "proto/frame.h"
#include "proto/hello.h"
#include "proto/limits.h"
#include "source.h"

typedef struct Craft {
    MuxRole role; // that it plays
    uint64_t id, peer_id;
    uint32_t sequence;                 // of the next frame
    uint32_t generations[OWNER_SLOTS]; // of the slots that it writes
    const uint32_t *lent;              // …that the owner writes
    uint8_t bytes[MUX_HEADER_SIZE + UINT16_MAX + MUX_GUARD_SIZE];
} Craft;

// The HELLO that brings the session up. Returns its size; it is in craft->bytes.
size_t craft_hello(Craft *craft);
// A HELLO with fields of the fuzzer's choice.
size_t craft_odd_hello(Craft *craft, Source *source);
// A frame of the fuzzer's choice.
size_t craft_frame(Craft *craft, Source *source);
