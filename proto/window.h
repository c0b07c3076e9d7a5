// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Credit. MuxBudget: the bytes that a link may have granted and not yet consumed, all channels
// together. MuxWindow: what one channel's receiver has granted of it. MuxCredit: what the sender
// may still send. All counters are absolute: bytes since the channel was opened.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "list.h"

typedef struct MuxBudget {
    uint64_t pool;   // bytes that channels share beyond their floor
    uint64_t used;   // of the pool
    uint32_t floor;  // bytes that every channel can have whatever the others hold
    MuxList holders; // windows that hold some of the pool, the longest idle first
} MuxBudget;

typedef struct MuxWindow {
    uint64_t granted, received, consumed;
    uint64_t last_us;    // when bytes last arrived
    uint32_t size;       // what the next grant makes of granted - consumed
    uint32_t reserved;   // counted in the budget: never less than granted - consumed
    bool limited;        // the sender used up its credit since the last grant
    bool reclaiming;     // the sender was asked to return what it does not use: no grants meanwhile
    MuxAccount *account; // what it holds beyond the floor is counted there too; or NULL
    MuxList holder;
} MuxWindow;

typedef struct MuxCredit {
    uint64_t sent, limit;
} MuxCredit;

// `total` bytes for up to `channels` channels; half of it is kept for their floors.
void mux_budget_init(MuxBudget *budget, uint64_t total, uint32_t channels);

// A new channel's window; what it granted is window->granted.
void mux_window_init(MuxWindow *window, MuxBudget *budget, uint64_t now_us);
// Gives back what it reserved. Harmless on an empty or deinitialised window.
void mux_window_deinit(MuxWindow *window, MuxBudget *budget);

// Counts what it holds beyond its floor in an account, from now on, and no more of it than that has
// left; before the first grant was told. NULL: in none any more.
void mux_window_charge(MuxWindow *window, MuxBudget *budget, MuxAccount *account);

// `n` bytes arrived. False when that is more than was granted.
bool mux_window_receive(MuxWindow *window, MuxBudget *budget, uint64_t n, uint64_t now_us);
// The reader took `n` bytes. True when a grant is due.
bool mux_window_consume(MuxWindow *window, uint64_t n);
// Decides on the window's size and grants. True when `granted` moved and the sender must be told.
// *ret_victim is an idle window whose credit this one could use, or NULL.
bool mux_window_grant(MuxWindow *window, MuxBudget *budget, uint64_t now_us,
                      MuxWindow **ret_victim);
// The sender answered a reclaim: its limit is now `limit`. False when that cannot be.
bool mux_window_returned(MuxWindow *window, MuxBudget *budget, uint64_t untrusted_limit);

// No more bytes will come: only what was not consumed stays reserved.
void mux_window_finish(MuxWindow *window, MuxBudget *budget);

// The receiver raised the limit. False when it went down or further than MUX_CREDIT_MAX ahead.
bool mux_credit_raise(MuxCredit *credit, uint64_t untrusted_limit);

static inline uint64_t mux_credit_left(const MuxCredit *credit)
{
    return credit->limit - credit->sent;
}
