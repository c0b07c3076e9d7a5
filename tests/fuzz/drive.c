// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Runs a fuzzer's function without libFuzzer: over the files that are named, or over so many inputs
// made from a seed. So the harnesses are compiled and tried in every build.
//
//     drive-NAME [--runs N | FILE...]

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define RUNS 5000
#define MOST 4096

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 29;
}

static void run_made(unsigned long runs)
{
    static uint8_t bytes[MOST];
    uint64_t state = 1;

    for (unsigned long i = 0; i < runs; i++) {
        size_t n = draw(&state) % (draw(&state) % 4 ? 300 : MOST);
        // Small numbers mean more to the harnesses than large ones.
        unsigned small = draw(&state) % 3;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)(draw(&state) % (draw(&state) % 3 < small ? 16 : 256));
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%lu inputs\n", runs);
}

static int run_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");

    if (!file) {
        perror(path);
        return 1;
    }
    size_t n = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, n);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc == 3 && strcmp(argv[1], "--runs") == 0) {
        run_made(strtoul(argv[2], NULL, 0));
        return 0;
    }
    if (argc == 1)
        run_made(RUNS);
    for (int i = 1; i < argc; i++)
        failed |= run_file(argv[i]);
    return failed;
}
