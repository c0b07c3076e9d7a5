// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What apps and handlers do at one end: random things with its channels, and in the quiet phase
// only those that bring everything to an end.
#pragma once

#include "chan.h"

typedef struct Habits {
    unsigned opens;     // how often one is opened, in percent of what is done
    unsigned most;      // channels that they have open
    unsigned burst;     // that are opened at a time
    uint64_t bytes;     // that are sent at a time, at most
    unsigned impatient; // how often something is stopped or closed in the middle, in percent
} Habits;

void apps_act(End *end, const Habits *habits);
// Takes or refuses all that the other end opened, and says something to those that it takes.
void apps_answer(End *end);
// Takes every channel a step further to its end.
void apps_finish(End *end);
