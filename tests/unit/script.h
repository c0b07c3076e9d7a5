// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A conversation of two ends that has everything in it: opens from both sides, taken and refused,
// data both ways, half-close, STOP, RESET, windows that grow, credit that is reclaimed,
// shared memory. It stops short of nothing when a step is not possible (there is no memory), so it
// can be run under any failure.
#pragma once

#include "pair.h"

// Small, so that windows have to share: a floor of 256 bytes and a pool of 2 KiB.
extern const MuxLimits script_limits;

// What either end sees of it.
extern const char script_guest_log[];
extern const char script_host_log[];

// Both ends have to be up, or not; nothing is asserted.
void script_run(Pair *pair);
