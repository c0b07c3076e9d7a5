// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One window and its budget, for the tests of what a window does by itself and of who has what.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/window.h"

typedef struct One {
    MuxBudget budget;
    MuxWindow window;
    MuxWindow *victim;
} One;

static inline void one_init(One *one)
{
    mux_budget_init(&one->budget, 64u << 20, 32768);
    mux_window_init(&one->window, &one->budget, 0);
}

static inline bool receive(One *one, uint64_t n)
{
    return mux_window_receive(&one->window, &one->budget, n, 0);
}

static inline bool grant(One *one)
{
    return mux_window_grant(&one->window, &one->budget, 0, &one->victim);
}
