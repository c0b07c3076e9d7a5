// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// crowd hold PATH [BYTES]                          a handler that reads that much (0), for ever
// crowd keep COUNT SOCKET NAME                     idle channels, until stdin ends
// crowd fill COUNT SOCKET NAME                     channels that are written to until they are full
// crowd share COUNT BYTES SOCKET NAME SINK         busy channels, and their handler at SINK
// crowd cable FROM TO RATE                         a port for so many bytes a second
//
// SOCKET is a daemon's, NAME a service, BYTES of each channel. keep, fill and share print a line of
// JSON.

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"

static void usage(void)
{
    (void)fprintf(stderr, "usage: crowd hold PATH [BYTES]\n"
                          "       crowd keep|fill COUNT SOCKET NAME\n"
                          "       crowd share COUNT BYTES SOCKET NAME SINK\n"
                          "       crowd cable FROM TO RATE\n");
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0')
        usage();
    return value;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(what, "hold") == 0 && (argc == 3 || argc == 4))
        crowd_hold(argv[2], argc == 4 ? number(argv[3]) : 0);
    else if (strcmp(what, "keep") == 0 && argc == 5)
        crowd_keep(number(argv[2]), argv[3], argv[4]);
    else if (strcmp(what, "fill") == 0 && argc == 5)
        crowd_fill(number(argv[2]), argv[3], argv[4]);
    else if (strcmp(what, "share") == 0 && argc == 7)
        crowd_share(number(argv[2]), number(argv[3]), argv[4], argv[5], argv[6]);
    else if (strcmp(what, "cable") == 0 && argc == 5)
        crowd_cable(argv[2], argv[3], number(argv[4]));
    else
        usage();
    return 0;
}
