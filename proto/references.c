// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Bytes of channels that lie in shared memory. A channel whose owner has much at once gets its turn
// in a slot, and REF takes the place of DATA: same order, same credit, same turn. The receiver's
// owner gets the bytes where they lie, and gives the slot back when its reader has them.
//
// What is in a slot counts as in flight, if for less than on the port, until the receiver has read
// the REF: a keystroke must not wait behind a region full of data either.
//
// Every slot that was received is given back exactly once: by the owner who got it in an event, or
// here when there is no such event. What a slot holds is never looked at.

#include <errno.h>

#include "bytes.h"
#include "limits.h"
#include "session-private.h"

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

// What was lent of a region that is no more does not come back.
static void forget_lent(MuxSession *session)
{
    MuxEntry *entry = NULL;

    while ((entry = mux_table_next(&session->channels, entry)))
        mux_container(entry, MuxChannel, entry)->lent = 0;
}

int mux_session_set_region(MuxSession *session, bool ours, const MuxRegion *region)
{
    MuxSlots *slots = ours ? &session->out : &session->in, fresh = {0};

    if (region && !(session->features & MUX_FEATURE_MEMORY && session->state == MUX_SESSION_UP))
        return -EINVAL;
    int r = region ? mux_slots_init(&fresh, region, ours) : 0;
    if (r < 0)
        return r;
    mux_slots_deinit(slots);
    *slots = fresh;
    if (ours)
        forget_lent(session);
    return 0;
}

void mux_session_set_threshold(MuxSession *session, uint32_t bytes)
{
    session->threshold = bytes;
}

void mux_channel_set_path(MuxChannel *channel, MuxPath path, uint32_t most)
{
    channel->path = (uint8_t)path;
    channel->most = most;
}

void mux_references_end(MuxSession *session)
{
    MuxList *first;

    mux_slots_deinit(&session->out);
    mux_slots_deinit(&session->in);
    session->threshold = MUX_NEVER;
    session->shared_out = session->shared_in = session->port_out = session->port_in = 0;
    while ((first = mux_list_first(&session->notices)))
        mux_list_remove(first);
}

// --- sending

static bool wants_slot(const MuxSession *session, const MuxChannel *channel)
{
    switch ((MuxPath)channel->path) {
    case MUX_PATH_INLINE:
        return false;
    case MUX_PATH_SHARED:
        return true;
    case MUX_PATH_AUTO:
        break;
    }
    return channel->run >= session->threshold &&
           mux_credit_left(&channel->credit) >= session->threshold;
}

// How large a slot is best for it.
static uint32_t wanted(const MuxSession *session, const MuxChannel *channel)
{
    uint32_t want =
        least(mux_credit_left(&channel->credit), channel->most ? channel->most : MUX_SLOT_MAX);
    // Twice what was there last time, so that slots grow with what comes and no more.
    want = least(want, channel->last ? 2 * (uint64_t)channel->last : MUX_SLOT_WANTED);
    if (mux_session_beside(session))
        want = least(want, MUX_SLOT_WANTED);
    return channel->path == MUX_PATH_AUTO && want < session->threshold ? session->threshold : want;
}

bool mux_references_turn(MuxSession *session, MuxChannel *channel, MuxTurn *ret_turn)
{
    uint32_t size;

    if (!session->out.slots || !wants_slot(session, channel))
        return false;
    uint32_t slot = mux_slots_take(&session->out, wanted(session, channel), channel->lent);
    if (slot == MUX_SLOT_NONE)
        return false;
    uint8_t *base = mux_slots_at(&session->out, slot, &size);
    size = least(size, mux_credit_left(&channel->credit));
    size = least(size, channel->most ? channel->most : size);
    if (channel->path == MUX_PATH_AUTO && size < session->threshold) { // the port is faster
        mux_slots_put(&session->out, slot);
        return false;
    }
    *ret_turn = (MuxTurn){channel, channel->user, base, size, slot};
    return true;
}

// What `n` bytes in a slot count for in flight, next to those on the port.
static uint64_t weight(const MuxSession *session, size_t n)
{
    return n / (mux_session_beside(session) ? MUX_SLOT_LIGHTER_BESIDE : MUX_SLOT_LIGHTER);
}

void mux_references_sent(MuxSession *session, const MuxTurn *turn, size_t n)
{
    MuxChannel *channel = turn->channel;
    uint32_t size;

    if (n == 0) {
        mux_slots_put(&session->out, turn->slot);
        return;
    }
    uint8_t *p = mux_output_payload(&session->output);
    mux_put32(p, session->out.region.epoch);
    mux_put32(p + 4, turn->slot);
    mux_put32(p + 8, mux_slots_lend(&session->out, turn->slot, channel->entry.id));
    mux_put32(p + 12, 0);
    mux_put32(p + 16, (uint32_t)n);
    mux_output_beside(&session->output, weight(session, n));
    mux_output_frame(&session->output, MUX_FRAME_REF, channel->entry.id, MUX_REF_SIZE);
    (void)mux_slots_at(&session->out, turn->slot, &size);
    channel->lent += size;
    channel->last = (uint32_t)n;
    session->shared_out += n;
}

const char *mux_references_returned(MuxSession *session, const MuxFrame *frame,
                                    const uint8_t *payload)
{
    if ((frame->length - MUX_GIVE_AT) % MUX_GIVEN_SIZE != 0)
        return "GIVE of half a slot";
    // What was given back of a region that is no more, does not matter any more.
    if (!session->out.slots || mux_get32(payload) != session->out.region.epoch)
        return NULL;
    for (size_t at = MUX_GIVE_AT; at < frame->length; at += MUX_GIVEN_SIZE) {
        uint32_t slot = mux_get32(payload + at), size;
        uint32_t id = mux_slots_returned(&session->out, slot, mux_get32(payload + at + 4));
        if (id == 0)
            return "GIVE of a slot that was not lent";
        MuxEntry *entry = mux_table_find(&session->channels, id);
        (void)mux_slots_at(&session->out, slot, &size);
        if (entry)
            mux_container(entry, MuxChannel, entry)->lent -= size;
    }
    return NULL;
}

// --- receiving

static void give(MuxSession *session, uint32_t slot)
{
    if (session->in.giving == 0)
        session->give_us = session->now_us;
    mux_slots_give(&session->in, slot);
}

const char *mux_references_receive(MuxSession *session, const MuxFrame *frame,
                                   const uint8_t *payload, MuxEvent *ret_event)
{
    const MuxReference untrusted = {
        .epoch = mux_get32(payload),
        .slot = mux_get32(payload + 4),
        .generation = mux_get32(payload + 8),
        .offset = mux_get32(payload + 12),
        .length = mux_get32(payload + 16),
    };
    const uint8_t *base;
    const char *error = mux_slots_receive(&session->in, &untrusted, &base);
    if (error)
        return error;

    session->shared_in += untrusted.length;
    error = mux_receive_for_channel(session, frame->channel, MUX_FRAME_DATA, base, untrusted.length,
                                    ret_event);
    if (ret_event->type == MUX_EVENT_DATA)
        ret_event->slot = (uint64_t)untrusted.epoch << 32 | (untrusted.slot + 1);
    else
        give(session, untrusted.slot);
    return error;
}

void mux_session_give(MuxSession *session, uint64_t slot)
{
    if (session->in.slots && session->in.region.epoch == slot >> 32)
        give(session, (uint32_t)slot - 1);
}

uint64_t mux_references_deadline(const MuxSession *session)
{
    return session->in.giving > 0 ? session->give_us + MUX_GIVE_US : UINT64_MAX;
}

static bool is_time_to_give(const MuxSession *session)
{
    const uint8_t *base;

    return session->in.giving > 0 && (mux_output_pending(&session->output, &base) > 0 ||
                                      session->in.giving >= session->in.bytes / MUX_GIVE_PART ||
                                      session->now_us >= session->give_us + MUX_GIVE_US);
}

void mux_references_send(MuxSession *session)
{
    size_t room, length = MUX_GIVE_AT;
    uint32_t slot, generation;

    if (!is_time_to_give(session))
        return;
    while ((room = mux_output_room(&session->output)) >= MUX_GIVE_AT + MUX_GIVEN_SIZE) {
        size_t most = least(room, MUX_GIVE_AT + MUX_GIVE_MAX * MUX_GIVEN_SIZE);
        uint8_t *p = mux_output_payload(&session->output);
        for (length = MUX_GIVE_AT; length + MUX_GIVEN_SIZE <= most; length += MUX_GIVEN_SIZE) {
            if ((slot = mux_slots_next_given(&session->in, &generation)) == MUX_SLOT_NONE)
                break;
            mux_put32(p + length, slot);
            mux_put32(p + length + 4, generation);
        }
        if (length == MUX_GIVE_AT)
            return;
        mux_put32(p, session->in.region.epoch);
        mux_output_frame(&session->output, MUX_FRAME_GIVE, 0, (uint16_t)length);
    }
}

void mux_session_region_info(const MuxSession *session, bool ours, MuxRegionInfo *ret_info)
{
    const MuxSlots *slots = ours ? &session->out : &session->in;

    *ret_info = (MuxRegionInfo){
        .there = slots->slots != NULL,
        .epoch = slots->region.epoch,
        .slots = slots->count,
        .used = slots->used,
        .shared = ours ? session->shared_out : session->shared_in,
        .port = ours ? session->port_out : session->port_in,
        .threshold = session->threshold,
    };
}
