// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "run.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

// splitmix64
uint64_t run_random(Run *run)
{
    uint64_t x = run->random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t run_below(Run *run, uint64_t n)
{
    return n ? run_random(run) % n : 0;
}

bool run_chance(Run *run, unsigned percent)
{
    return run_below(run, 100) < percent;
}

uint64_t run_size(Run *run, uint64_t n)
{
    uint64_t r = run_random(run);
    unsigned shift = r % 16;
    return run_below(run, (n >> shift) + 1);
}

void run_count(Run *run, CoverageItem item)
{
    run->coverage->times[item]++;
}

void run_trace(const Run *run, const char *format, ...)
{
    va_list args;

    if (!run->verbose)
        return;
    printf("%6u %10.6f  ", run->step, (double)run->now_us / 1e6);
    va_start(args, format);
    vprintf(format, args); // NOLINT(clang-analyzer-valist.Uninitialized): clang-tidy 14 is wrong
    va_end(args);
    putchar('\n');
}

void run_fail(const Run *run, const char *format, ...)
{
    va_list args;

    printf("seed %ju failed at step %u: ", (uintmax_t)run->seed, run->step);
    va_start(args, format);
    vprintf(format, args); // NOLINT(clang-analyzer-valist.Uninitialized): clang-tidy 14 is wrong
    va_end(args);
    printf("\nreplay with: build/bin/sim --seed %ju --verbose\n", (uintmax_t)run->seed);
    fflush(stdout);
    _exit(1); // without the leak check: everything is still allocated
}
