// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A slow port. Two processes, one a direction, which do nothing but read and write; the one that is
// slow sleeps as long as what it carried is ahead of its rate. It keeps nothing back, so what waits
// in the kernel's socket is all that the port holds.

#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"
#include "stream.h"

// Bytes at a time: at the slowest rate that is of use, a few milliseconds' worth.
#define PIECE 32768

static char piece[PIECE];

static void wait_until(double time)
{
    double left = time - seconds();

    if (left > 0)
        (void)usleep((useconds_t)(left * 1e6));
}

// rate: bytes a second, or 0: all that comes.
static void carry(int from, int to, uint64_t rate)
{
    double due = seconds();
    ssize_t n;

    while ((n = read(from, piece, sizeof(piece))) > 0 && write_all(to, piece, (size_t)n)) {
        if (rate == 0)
            continue;
        // What was not used while nothing came is not made up for.
        due = (due > seconds() ? due : seconds()) + (double)n / (double)rate;
        wait_until(due);
    }
}

void crowd_cable(const char *from, const char *to, uint64_t rate)
{
    int listener = crowd_listen(from);
    int guest = accept(listener, NULL, NULL);
    int host = crowd_connect(to);

    if (guest < 0)
        err(1, "accept");
    if (fork() == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        carry(host, guest, 0);
        exit(0);
    }
    carry(guest, host, rate);
}
