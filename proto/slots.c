// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One table for both directions: what is "free" for the end that writes a region is "not held" for
// the other. A slot's generation goes up by one with each use, and both ends count: a reference
// that is repeated, or to a slot that is still held, does not fit.
//
// Fairness is that of a switch with dynamic thresholds (Choudhury and Hahne, 1998): a channel may
// hold as much as is free. One alone gets half of the region, two a third each, and there is always
// something left for one that comes.

#include "slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "limits.h"

// What `channel` says of a slot of the peer's: whose bytes they are does not matter here.
enum { HELD = 1, TO_GIVE = 2 };

static bool plausible(const MuxRegion *region)
{
    uint64_t count = 0;

    if (region->n == 0 || region->n > MUX_SLOT_CLASSES)
        return false;
    for (unsigned i = 0; i < region->n; i++) {
        const MuxSlotClass *class = &region->classes[i];
        if (class->size == 0 || class->size > MUX_SLOT_MAX || class->count == 0)
            return false;
        count += class->count;
    }
    return count <= MUX_SLOTS_MAX;
}

static unsigned class_of(const MuxSlots *slots, uint32_t slot)
{
    unsigned i = 0;

    for (; slot >= slots->region.classes[i].count; i++)
        slot -= slots->region.classes[i].count;
    return i;
}

static void push_free(MuxSlots *slots, uint32_t slot)
{
    unsigned i = class_of(slots, slot);

    slots->slots[slot].channel = 0;
    slots->slots[slot].next = slots->heads[i];
    slots->heads[i] = slot;
    slots->free_bytes += slots->region.classes[i].size;
}

int mux_slots_init(MuxSlots *slots, const MuxRegion *region, bool ours)
{
    if (!plausible(region))
        return -EINVAL;
    *slots = (MuxSlots){.region = *region, .last = MUX_SLOT_NONE};
    for (unsigned i = 0; i < MUX_SLOT_CLASSES; i++) {
        slots->heads[i] = MUX_SLOT_NONE;
        if (i >= region->n)
            continue;
        slots->count += region->classes[i].count;
        slots->bytes += (uint64_t)region->classes[i].size * region->classes[i].count;
    }
    slots->slots = calloc(slots->count, sizeof(*slots->slots));
    if (!slots->slots)
        return -ENOMEM;
    for (uint32_t slot = slots->count; ours && slot-- > 0;)
        push_free(slots, slot);
    return 0;
}

void mux_slots_deinit(MuxSlots *slots)
{
    free(slots->slots);
    *slots = (MuxSlots){0};
}

uint8_t *mux_slots_at(const MuxSlots *slots, uint32_t slot, uint32_t *ret_size)
{
    uint8_t *base = slots->region.base;
    const MuxSlotClass *class = slots->region.classes;

    for (; slot >= class->count; class ++) {
        base += (size_t) class->size * class->count;
        slot -= class->count;
    }
    *ret_size = class->size;
    return base + (size_t) class->size * slot;
}

// --- of a region that we write

static bool has(const MuxSlots *slots, unsigned i, uint64_t held)
{
    return slots->heads[i] != MUX_SLOT_NONE &&
           held + slots->region.classes[i].size <= slots->free_bytes;
}

// The smallest that is large enough, or else the largest that there is.
static unsigned choose(const MuxSlots *slots, uint32_t want, uint64_t held)
{
    unsigned best = MUX_SLOT_CLASSES;

    for (unsigned i = 0; i < slots->region.n; i++) {
        const MuxSlotClass *class = &slots->region.classes[i];
        if (!has(slots, i, held))
            continue;
        uint32_t size = best < MUX_SLOT_CLASSES ? slots->region.classes[best].size : 0;
        if (size < want ? class->size > size : class->size >= want && class->size < size)
            best = i;
    }
    return best;
}

uint32_t mux_slots_take(MuxSlots *slots, uint32_t want, uint64_t held)
{
    unsigned i = choose(slots, want, held);

    if (i == MUX_SLOT_CLASSES)
        return MUX_SLOT_NONE;
    uint32_t slot = slots->heads[i];
    slots->heads[i] = slots->slots[slot].next;
    slots->free_bytes -= slots->region.classes[i].size;
    slots->used++;
    return slot;
}

void mux_slots_put(MuxSlots *slots, uint32_t slot)
{
    slots->used--;
    push_free(slots, slot);
}

uint32_t mux_slots_lend(MuxSlots *slots, uint32_t slot, uint32_t channel)
{
    slots->slots[slot].channel = channel;
    return ++slots->slots[slot].generation;
}

uint32_t mux_slots_returned(MuxSlots *slots, uint32_t untrusted_slot, uint32_t untrusted_generation)
{
    if (untrusted_slot >= slots->count)
        return 0;
    MuxSlot *slot = &slots->slots[untrusted_slot];
    uint32_t channel = slot->channel;
    if (channel == 0 || slot->generation != untrusted_generation)
        return 0;
    mux_slots_put(slots, untrusted_slot);
    return channel;
}

// --- of a region that the peer writes

const char *mux_slots_receive(MuxSlots *slots, const MuxReference *untrusted,
                              const uint8_t **ret_base)
{
    uint32_t size;

    if (!slots->slots || untrusted->epoch != slots->region.epoch)
        return "a reference into a region that there is not";
    if (untrusted->slot >= slots->count)
        return "a reference to a slot that there is not";
    MuxSlot *slot = &slots->slots[untrusted->slot];
    if (slot->channel != 0 || untrusted->generation != slot->generation + 1)
        return "a reference to a slot that was not given back, or of another generation";
    const uint8_t *base = mux_slots_at(slots, untrusted->slot, &size);
    if (untrusted->length == 0 || untrusted->offset > size ||
        untrusted->length > size - untrusted->offset)
        return "a reference that goes beyond its slot";

    slot->generation++;
    slot->channel = HELD;
    slots->used++;
    *ret_base = base + untrusted->offset;
    return NULL;
}

void mux_slots_give(MuxSlots *slots, uint32_t slot)
{
    assert(slot < slots->count && slots->slots[slot].channel == HELD);
    slots->slots[slot].channel = TO_GIVE;
    slots->giving += slots->region.classes[class_of(slots, slot)].size;
    slots->slots[slot].next = MUX_SLOT_NONE;
    if (slots->heads[0] == MUX_SLOT_NONE)
        slots->heads[0] = slot;
    else
        slots->slots[slots->last].next = slot;
    slots->last = slot;
}

uint32_t mux_slots_next_given(MuxSlots *slots, uint32_t *ret_generation)
{
    uint32_t slot = slots->slots ? slots->heads[0] : MUX_SLOT_NONE;

    if (slot == MUX_SLOT_NONE)
        return MUX_SLOT_NONE;
    slots->heads[0] = slots->slots[slot].next;
    slots->slots[slot].channel = 0;
    slots->giving -= slots->region.classes[class_of(slots, slot)].size;
    slots->used--;
    *ret_generation = slots->slots[slot].generation;
    return slot;
}
