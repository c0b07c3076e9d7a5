// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Deficit round robin (Shreedhar and Varghese, 1996) with the two queues of FQ-CoDel (RFC 8290):
// one that becomes ready goes ahead of the bulk transfers, but only for one quantum; a channel that
// runs dry and comes back within the same round goes behind, so that coming back often wins
// nothing.

#include "scheduler.h"

#include <assert.h>

#include "limits.h"

#define QUANTUM MUX_PAYLOAD_MAX

void mux_scheduler_init(MuxScheduler *scheduler)
{
    mux_list_init(&scheduler->fresh);
    mux_list_init(&scheduler->waiting);
}

void mux_share_init(MuxShare *share)
{
    mux_list_init(&share->node);
    share->deficit = QUANTUM;
    share->held = false;
}

void mux_scheduler_add(MuxScheduler *scheduler, MuxShare *share)
{
    if (!mux_list_empty(&share->node))
        return;
    // What is left of a quantum is what a quiet channel may send ahead of the others.
    bool quiet = share->deficit > 0 && !share->held;
    mux_list_append(quiet ? &scheduler->fresh : &scheduler->waiting, &share->node);
    share->held = false;
}

void mux_scheduler_remove(MuxShare *share)
{
    mux_list_remove(&share->node);
    share->held = false;
}

void mux_scheduler_hold(MuxShare *share)
{
    mux_list_remove(&share->node);
    share->held = true;
}

MuxShare *mux_scheduler_next(MuxScheduler *scheduler)
{
    MuxList *first = mux_list_first(&scheduler->fresh);
    if (!first)
        first = mux_list_first(&scheduler->waiting);
    if (!first)
        return NULL;

    MuxShare *share = mux_container(first, MuxShare, node);
    if (share->deficit == 0)
        share->deficit = QUANTUM;
    return share;
}

void mux_scheduler_sent(MuxScheduler *scheduler, MuxShare *share, uint32_t n)
{
    assert(n <= share->deficit);
    share->deficit -= n;
    if (share->deficit == 0)
        mux_list_append(&scheduler->waiting, &share->node);
}
