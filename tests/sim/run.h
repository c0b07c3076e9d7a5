// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What all parts of one seed's run share: the random numbers, the time, the ledger of what really
// happened, and how a failure or a step is told.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coverage.h"
#include "ledger.h"
#include "proto/session.h"

// How the run's channels go: one MuxPath for all, or each as it likes.
#define MIXED 3

typedef struct Run {
    uint64_t seed;
    uint64_t random;
    uint64_t now_us;
    unsigned step;
    unsigned troubles; // how often the port misbehaved so far
    bool verbose;
    bool quiet;         // the last phase: nothing disturbs any more
    bool starved;       // allocations fail now and then
    unsigned path;      // MuxPath, or MIXED
    MuxRegion *regions; // all that there were; the epoch is the index, from 1
    uint32_t region_count;
    uint64_t news; // the newest that was made
    Ledger ledger;
    Coverage *coverage;
} Run;

uint64_t run_random(Run *run);
// 0 to n - 1; 0 for n = 0.
uint64_t run_below(Run *run, uint64_t n);
// True `percent` times of a hundred.
bool run_chance(Run *run, unsigned percent);
// Mostly small, sometimes up to n: sizes of bytes and of time.
uint64_t run_size(Run *run, uint64_t n);

void run_count(Run *run, CoverageItem item);

// Says what happened, in verbose mode.
void run_trace(const Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Says what is wrong and how to see it again, and ends the program.
_Noreturn void run_fail(const Run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define run_check(run, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            run_fail(run, __VA_ARGS__);                                                            \
    } while (0)
