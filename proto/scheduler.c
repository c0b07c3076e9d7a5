// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Deficit round robin (Shreedhar and Varghese, 1996) with the two queues of FQ-CoDel (RFC 8290):
// one that becomes ready goes ahead of the bulk transfers, but only for one quantum; a channel that
// runs dry and comes back within the same round goes behind, so that coming back often wins
// nothing.

#include "scheduler.h"

#include "limits.h"

#define QUANTUM MUX_PAYLOAD_MAX

void mux_scheduler_init(MuxScheduler *scheduler)
{
    mux_list_init(&scheduler->fresh);
    mux_list_init(&scheduler->waiting);
    scheduler->sent = 0;
}

void mux_share_init(MuxShare *share)
{
    mux_list_init(&share->node);
    share->deficit = QUANTUM;
    share->left = 0;
    share->held = false;
}

// While it had nothing to send the others had those turns, or did not want them.
static void forgive(const MuxScheduler *scheduler, MuxShare *share)
{
    uint64_t since = scheduler->sent - share->left;

    if (share->deficit < 0)
        share->deficit = since < (uint64_t)-share->deficit ? share->deficit + (int32_t)since : 0;
}

void mux_scheduler_add(MuxScheduler *scheduler, MuxShare *share)
{
    if (!mux_list_empty(&share->node))
        return;
    forgive(scheduler, share);
    // What is left of a quantum is what a quiet channel may send ahead of the others.
    bool quiet = share->deficit > 0 && !share->held;
    mux_list_append(quiet ? &scheduler->fresh : &scheduler->waiting, &share->node);
    share->held = false;
}

static void take_out(const MuxScheduler *scheduler, MuxShare *share, bool held)
{
    if (!mux_list_empty(&share->node))
        share->left = scheduler->sent;
    mux_list_remove(&share->node);
    share->held = held;
}

void mux_scheduler_remove(const MuxScheduler *scheduler, MuxShare *share)
{
    take_out(scheduler, share, false);
}

void mux_scheduler_hold(const MuxScheduler *scheduler, MuxShare *share)
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
            share->deficit += QUANTUM;
        if (share->deficit > 0)
            return share;
        mux_list_append(&scheduler->waiting, first); // this turn it has had already
    }
    return NULL;
}

void mux_scheduler_sent(MuxScheduler *scheduler, MuxShare *share, uint32_t n)
{
    scheduler->sent += n;
    share->deficit -= (int32_t)n;
    if (share->deficit <= 0)
        mux_list_append(&scheduler->waiting, &share->node);
}
