// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// noise SEED BYTES: that many bytes that look random, the same ones for the same seed, to standard
// output. /dev/urandom would take seconds for what a test wants, and could not be had twice.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app.h"

#define BLOCK 65536

static int write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, size);
        if (n < 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static uint64_t block[BLOCK / sizeof(uint64_t)];

    if (argc != 3) {
        (void)fprintf(stderr, "usage: noise SEED BYTES\n");
        return 2;
    }
    uint64_t state = strtoull(argv[1], NULL, 10) * 2 + 1;
    size_t left = strtoull(argv[2], NULL, 10);
    while (left > 0) {
        size_t n = left < BLOCK ? left : BLOCK;
        for (size_t i = 0; i < BLOCK / sizeof(uint64_t); i++)
            block[i] = app_noise(&state);
        if (write_all((const char *)block, n) < 0) {
            perror("noise");
            return 1;
        }
        left -= n;
    }
    return 0;
}
