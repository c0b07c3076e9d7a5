// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A simulation of one link: two sessions, a port that does its worst, apps that do anything. All of
// it comes from a seed, so what failed once can be seen again.
//
//     sim [--seeds N] [--first S]      N seeds from S on
//     sim --seed S [--verbose]         one of them

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define SEEDS 6000
// With fewer, something rare may well not happen.
#define SEEDS_FOR_COVERAGE 2500

typedef struct Options {
    uint64_t first, count;
    bool one, verbose;
} Options;

// What died() says: made before, since a signal handler may not.
static char last_words[128];

static void died(int signal_number)
{
    if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0)
        _exit(2);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run_seed(uint64_t seed, bool verbose, Coverage *coverage)
{
    Run run = {.seed = seed, .random = seed * 0x9e3779b97f4a7c15u, .verbose = verbose};

    snprintf(last_words, sizeof(last_words),
             "\nseed %" PRIu64 " died; replay with: build/bin/sim --seed %" PRIu64 " --verbose\n",
             seed, seed);
    run.now_us = 1000000;
    run.coverage = coverage;
    world_run(&run);
}

static int usage(void)
{
    puts("usage: sim [--seeds N] [--first S] | --seed S [--verbose]");
    return 2;
}

static int parse(int argc, char **argv, Options *options)
{
    static const struct option longs[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *options = (Options){.first = 1, .count = SEEDS};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'n')
            options->count = strtoull(optarg, NULL, 0);
        else if (c == 'f')
            options->first = strtoull(optarg, NULL, 0);
        else if (c == 's')
            *options = (Options){strtoull(optarg, NULL, 0), 1, true, options->verbose};
        else if (c == 'v')
            options->verbose = true;
        else
            return -1;
    }
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    Options options;
    Coverage coverage = {{0}};

    if (parse(argc, argv, &options) < 0)
        return usage();
    signal(SIGABRT, died);
    signal(SIGSEGV, died);
    for (uint64_t i = 0; i < options.count; i++)
        run_seed(options.first + i, options.verbose, &coverage);

    coverage_print(&coverage);
    if (options.count >= SEEDS_FOR_COVERAGE && !coverage_complete(&coverage))
        return 1;
    printf("%" PRIu64 " seeds are good\n", options.count);
    return 0;
}
