// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How much may be on its way to one reader.
//
// Half of a link's budget belongs to the floors: every channel that may exist can always have that
// little, so readers that never read cannot starve another. The other half is a pool for windows
// that grow. A window grows when its sender ran out of credit although its reader had taken
// everything: the window was the limit, not the reader. It may grow to an eighth of what the pool
// has left, so the pool is never used up by those who came first; when it is short, idle holders
// are asked to return theirs.
//
// Invariants: received <= granted; consumed <= received; granted - consumed <= reserved; the sum of
// all that is reserved beyond the floors is budget->used <= budget->pool.

#include "window.h"

#include <assert.h>

#include "limits.h"

#define POOL_SHARE    8
#define WINDOW_GROWTH 4 // from the floor to MUX_WINDOW_MAX in six round trips

void mux_budget_init(MuxBudget *budget, uint64_t total, uint32_t channels)
{
    uint64_t floor = total / 2 / (channels ? channels : 1);
    if (floor > MUX_WINDOW_START)
        floor = MUX_WINDOW_START;

    *budget = (MuxBudget){.pool = total - floor * channels, .floor = (uint32_t)floor};
    mux_list_init(&budget->holders);
}

static uint32_t excess(const MuxWindow *window, const MuxBudget *budget)
{
    return window->reserved > budget->floor ? window->reserved - budget->floor : 0;
}

static void reserve(MuxWindow *window, MuxBudget *budget, uint64_t bytes)
{
    uint32_t before = excess(window, budget);

    window->reserved = (uint32_t)bytes;
    uint32_t after = excess(window, budget);
    budget->used += after - (uint64_t)before;
    assert(budget->used <= budget->pool);
    if (window->account)
        window->account->used += after - (uint64_t)before;

    if (excess(window, budget) == 0)
        mux_list_remove(&window->holder);
    else if (mux_list_empty(&window->holder))
        mux_list_append(&budget->holders, &window->holder);
}

void mux_window_init(MuxWindow *window, MuxBudget *budget, uint64_t now_us)
{
    bool plenty = budget->used < budget->pool / 4;
    uint32_t size = plenty && budget->floor < MUX_WINDOW_START ? MUX_WINDOW_START : budget->floor;
    if (size > budget->floor && size - budget->floor > budget->pool - budget->used)
        size = budget->floor;

    *window = (MuxWindow){.granted = size, .size = size, .last_us = now_us};
    mux_list_init(&window->holder);
    reserve(window, budget, size);
}

void mux_window_deinit(MuxWindow *window, MuxBudget *budget)
{
    if (window->reserved)
        reserve(window, budget, 0);
}

// What an account has left for this window, besides what the window holds already.
static uint64_t account_left(const MuxWindow *window, const MuxBudget *budget)
{
    const MuxAccount *account = window->account;
    uint64_t used = account ? account->used - excess(window, budget) : 0;

    if (!account)
        return UINT64_MAX;
    return account->limit > used ? account->limit - used : 0;
}

void mux_window_charge(MuxWindow *window, MuxBudget *budget, MuxAccount *account)
{
    if (window->account)
        window->account->used -= excess(window, budget);
    window->account = account;
    if (!account)
        return;
    account->used += excess(window, budget);
    if (excess(window, budget) > account_left(window, budget)) {
        window->granted = window->size = budget->floor;
        reserve(window, budget, budget->floor);
    }
}

bool mux_window_receive(MuxWindow *window, MuxBudget *budget, uint64_t n, uint64_t now_us)
{
    if (n > window->granted - window->received)
        return false;
    window->received += n;
    window->last_us = now_us;
    if (window->received == window->granted)
        window->limited = true;
    if (!mux_list_empty(&window->holder))
        mux_list_append(&budget->holders, &window->holder);
    return true;
}

bool mux_window_consume(MuxWindow *window, uint64_t n)
{
    assert(n <= window->received - window->consumed);
    window->consumed += n;
    return window->granted - window->consumed <= window->size / 2;
}

// The largest size that the budget lets this window have now.
static uint64_t allowed(const MuxWindow *window, const MuxBudget *budget)
{
    uint64_t left = budget->pool - budget->used + excess(window, budget);
    return budget->floor + left / POOL_SHARE;
}

// The holder that has been idle longest. It goes to the end, so that the next one is looked at next
// time.
static MuxWindow *idle_holder(MuxBudget *budget, const MuxWindow *but, uint64_t now_us)
{
    MuxList *first = mux_list_first(&budget->holders);
    if (!first)
        return NULL;

    MuxWindow *window = mux_container(first, MuxWindow, holder);
    if (now_us - window->last_us < MUX_RECLAIM_IDLE_US)
        return NULL;
    mux_list_append(&budget->holders, first);
    return window != but && !window->reclaiming ? window : NULL;
}

bool mux_window_grant(MuxWindow *window, MuxBudget *budget, uint64_t now_us, MuxWindow **ret_victim)
{
    *ret_victim = NULL;
    if (window->reclaiming)
        return false;

    uint64_t held = window->granted - window->consumed;
    uint64_t want = window->size;
    if (window->limited && window->received == window->consumed)
        want = want * WINDOW_GROWTH < MUX_WINDOW_MAX ? want * WINDOW_GROWTH : MUX_WINDOW_MAX;

    uint64_t may = allowed(window, budget);
    if (want > may) {
        want = may;
        *ret_victim = idle_holder(budget, window, now_us);
    }
    uint64_t left = account_left(window, budget);
    if (want > budget->floor && want - budget->floor > left)
        want = budget->floor + left;
    window->size = (uint32_t)want;
    window->limited = false;

    bool moved = want > held;
    if (moved)
        window->granted = window->consumed + want;
    reserve(window, budget, moved ? want : held > budget->floor ? held : budget->floor);
    return moved;
}

bool mux_window_returned(MuxWindow *window, MuxBudget *budget, uint64_t untrusted_limit)
{
    if (!window->reclaiming || untrusted_limit < window->received ||
        untrusted_limit > window->granted)
        return false;

    window->reclaiming = false;
    window->granted = untrusted_limit;
    window->size = budget->floor;
    uint64_t held = window->granted - window->consumed;
    reserve(window, budget, held > budget->floor ? held : budget->floor);
    return true;
}

void mux_window_finish(MuxWindow *window, MuxBudget *budget)
{
    window->reclaiming = true; // for ever: it gets no grants
    window->granted = window->received;
    uint64_t held = window->received - window->consumed;
    reserve(window, budget, held > budget->floor ? held : budget->floor);
}

bool mux_credit_raise(MuxCredit *credit, uint64_t untrusted_limit)
{
    if (untrusted_limit < credit->limit || untrusted_limit - credit->sent > MUX_CREDIT_MAX)
        return false;
    credit->limit = untrusted_limit;
    return true;
}
