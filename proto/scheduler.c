// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Deficit round robin (Shreedhar and Varghese, 1996) with the two queues of FQ-CoDel (RFC 8290):
// one that becomes ready goes ahead of the bulk transfers, but only for one quantum; a channel that
// runs dry and comes back within the same round goes behind, so that coming back often wins
// nothing.
//
// The more of them have something to send, the smaller is a quantum: a round of 1,000 channels with
// whole frames would be 32 MiB, and for so long they would differ by whole frames.

#include "scheduler.h"

#include "limits.h"

static uint32_t quantum(const MuxScheduler *scheduler)
{
    uint32_t bytes = scheduler->count > 0 ? MUX_FLIGHT_MAX / scheduler->count : MUX_PAYLOAD_MAX;

    if (bytes > MUX_PAYLOAD_MAX)
        return MUX_PAYLOAD_MAX;
    return bytes > MUX_QUANTUM_MIN ? bytes : MUX_QUANTUM_MIN;
}

void mux_scheduler_init(MuxScheduler *scheduler)
{
    mux_list_init(&scheduler->fresh);
    mux_list_init(&scheduler->waiting);
    scheduler->sent = scheduler->waited = 0;
    scheduler->count = scheduler->ahead = 0;
}

void mux_share_init(MuxShare *share)
{
    mux_list_init(&share->node);
    share->deficit = MUX_PAYLOAD_MAX;
    share->left = share->left_waited = 0;
    share->held = share->ahead = false;
}

// While it had nothing to send the others had those turns, or did not want them. When those that
// wait have had a round of them, it has its next quantum: they, not all, or some that come back in
// turns would stay ahead of them for ever.
static void forgive(const MuxScheduler *scheduler, MuxShare *share)
{
    uint64_t since = scheduler->sent - share->left;
    uint64_t waited = scheduler->waited - share->left_waited;
    uint64_t debt = share->deficit < 0 ? (uint64_t)-share->deficit : 0;
    uint32_t next = quantum(scheduler), waiting = scheduler->count - scheduler->ahead;

    if (since < debt)
        share->deficit += (int32_t)since;
    else if (waited >= debt && waited - debt >= (uint64_t)next * (waiting + 1))
        share->deficit = share->deficit > (int32_t)next ? share->deficit : (int32_t)next;
    else if (debt > 0)
        share->deficit = 0;
}

static void set_ahead(MuxScheduler *scheduler, MuxShare *share, bool ahead)
{
    scheduler->ahead += (uint32_t)ahead - (uint32_t)share->ahead;
    share->ahead = ahead;
}

void mux_scheduler_add(MuxScheduler *scheduler, MuxShare *share)
{
    if (!mux_list_empty(&share->node))
        return;
    forgive(scheduler, share);
    // What is left of a quantum is what a quiet channel may send ahead of the others.
    bool quiet = share->deficit > 0 && !share->held;
    mux_list_append(quiet ? &scheduler->fresh : &scheduler->waiting, &share->node);
    set_ahead(scheduler, share, quiet);
    share->held = false;
    scheduler->count++;
}

static void take_out(MuxScheduler *scheduler, MuxShare *share, bool held)
{
    if (!mux_list_empty(&share->node)) {
        share->left = scheduler->sent;
        share->left_waited = scheduler->waited;
        set_ahead(scheduler, share, false);
        scheduler->count--;
    }
    mux_list_remove(&share->node);
    share->held = held;
}

void mux_scheduler_remove(MuxScheduler *scheduler, MuxShare *share)
{
    take_out(scheduler, share, false);
}

void mux_scheduler_hold(MuxScheduler *scheduler, MuxShare *share)
{
    take_out(scheduler, share, true);
}

MuxShare *mux_scheduler_next(MuxScheduler *scheduler)
{
    MuxList *first;

    while ((first = mux_list_first(&scheduler->fresh)) ||
           (first = mux_list_first(&scheduler->waiting))) {
        MuxShare *share = mux_container(first, MuxShare, node);
        if (share->deficit <= 0)
            share->deficit += (int32_t)quantum(scheduler);
        if (share->deficit > 0)
            return share;
        mux_list_append(&scheduler->waiting, first); // this turn it has had already
    }
    return NULL;
}

uint32_t mux_scheduler_turn(const MuxScheduler *scheduler, const MuxShare *share)
{
    uint32_t least = quantum(scheduler);
    return share->deficit > (int32_t)least ? (uint32_t)share->deficit : least;
}

void mux_scheduler_sent(MuxScheduler *scheduler, MuxShare *share, uint32_t n)
{
    scheduler->sent += n;
    scheduler->waited += share->ahead ? 0 : n;
    share->deficit -= (int32_t)n;
    // Its owner may have ended it within its turn: then it is not queued any more.
    if (share->deficit > 0 || mux_list_empty(&share->node))
        return;
    set_ahead(scheduler, share, false);
    mux_list_append(&scheduler->waiting, &share->node);
}
