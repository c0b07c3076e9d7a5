// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "coverage.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Item {
    const char *words;
    bool needed;
} Item;

static const Item items[COVERAGE_COUNT] = {
#define X(item, words, needed) {words, needed},
    COVERAGE_ITEMS(X)
#undef X
};

void coverage_print(const Coverage *coverage)
{
    for (int i = 0; i < COVERAGE_COUNT; i++)
        printf("%12" PRIu64 "  %s\n", coverage->times[i], items[i].words);
}

bool coverage_complete(const Coverage *coverage)
{
    bool complete = true;

    for (int i = 0; i < COVERAGE_COUNT; i++) {
        if (!items[i].needed || coverage->times[i] > 0)
            continue;
        printf("never happened: %s\n", items[i].words);
        complete = false;
    }
    return complete;
}
