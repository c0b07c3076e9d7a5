// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "copy.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define AREA ((size_t)16 << 20)

void copy_run(uint64_t bytes, size_t block)
{
    char *from = malloc(AREA), *to = malloc(AREA);
    uint64_t n = (bytes + block - 1) / block;

    if (!from || !to || block > AREA)
        errx(1, "no memory for blocks of %zu bytes", block);
    make_bytes(from, AREA, 1); // so that the pages are there
    make_bytes(to, AREA, 2);
    double begin = seconds();
    for (uint64_t i = 0; i < n; i++) {
        size_t at = (size_t)(i % (AREA / block)) * block;
        memcpy(to + at, from + at, block);
    }
    double took = seconds() - begin;
    if (memcmp(from, to, block) != 0) // so that no copying is left out
        errx(1, "the copy is another");
    unsigned long long copied = n * block;
    (void)printf("{\"bytes\": %llu, \"seconds\": %.6f, \"MBps\": %.1f}\n", copied, took,
                 (double)copied / took / 1e6);
    free(from);
    free(to);
}
