// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The slots of a region of shared memory: who has which. A region is written by one end only, which
// hands out its slots; all that the other end does is to give them back. Nothing of this is in the
// shared memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_SLOT_CLASSES 4

// `count` slots of `size` bytes each.
typedef struct MuxSlotClass {
    uint32_t size, count;
} MuxSlotClass;

// A region as its owner maps it: the slots of the first class, then those of the second, …, without
// gaps, from `base` on.
typedef struct MuxRegion {
    uint8_t *base;
    uint32_t epoch; // which region: both ends call it so; never the same again in a session
    unsigned n;     // of classes
    MuxSlotClass classes[MUX_SLOT_CLASSES];
} MuxRegion;

// Where a payload lies: what a REF frame says.
typedef struct MuxReference {
    uint32_t epoch, slot, generation, offset, length;
} MuxReference;

typedef struct MuxSlot {
    uint32_t generation; // how often it was used
    uint32_t channel;    // whose bytes are in it; 0: it is free
    uint32_t next;       // in the list of the free ones, or of those to be given back
} MuxSlot;

// Of a region that we write: which are free. Of one that the peer writes: which we hold, and which
// of those are to be given back.
typedef struct MuxSlots {
    MuxRegion region;
    MuxSlot *slots; // NULL: there is no region
    uint32_t count;
    uint32_t used;                    // by us, or held by us
    uint64_t bytes;                   // of all slots
    uint64_t free_bytes;              // of those that are free
    uint64_t giving;                  // …that are to be given back
    uint32_t heads[MUX_SLOT_CLASSES]; // of the free ones; or [0]: the first to be given back
    uint32_t last;                    // …and the last
} MuxSlots;

#define MUX_SLOT_NONE UINT32_MAX

// 0, -ENOMEM, or -EINVAL when the classes make no sense. `ours`: we write it.
int mux_slots_init(MuxSlots *slots, const MuxRegion *region, bool ours);
// Harmless when there is no region.
void mux_slots_deinit(MuxSlots *slots);

// Where a slot is; its size.
uint8_t *mux_slots_at(const MuxSlots *slots, uint32_t slot, uint32_t *ret_size);

// --- of a region that we write

// A free slot, best one of `want` bytes or somewhat more, for a channel that has `held` bytes of
// slots already: it may have as much as is left free. MUX_SLOT_NONE when there is none.
uint32_t mux_slots_take(MuxSlots *slots, uint32_t want, uint64_t held);
// It was not used after all.
void mux_slots_put(MuxSlots *slots, uint32_t slot);
// It goes to the peer with bytes of that channel. Returns its generation.
uint32_t mux_slots_lend(MuxSlots *slots, uint32_t slot, uint32_t channel);
// The peer gave it back. Returns the channel, or 0 when the peer does not have it.
uint32_t mux_slots_returned(MuxSlots *slots, uint32_t untrusted_slot,
                            uint32_t untrusted_generation);

// --- of a region that the peer writes

// A reference came. NULL with where its bytes are, or why it is none.
const char *mux_slots_receive(MuxSlots *slots, const MuxReference *untrusted_reference,
                              const uint8_t **ret_base);
// We are done with it: it is to be given back.
void mux_slots_give(MuxSlots *slots, uint32_t slot);
// The next to be given back, which is then free; MUX_SLOT_NONE when there is none.
uint32_t mux_slots_next_given(MuxSlots *slots, uint32_t *ret_generation);
