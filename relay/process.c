// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See process.h.

#include "process.h"

#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

#define DESCRIPTORS_KEPT 64

void mux_process_fill_standard_descriptors(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
    }
    if (fd >= 0)
        close(fd);
}

struct rlimit mux_process_raise_descriptors(int *ret_most)
{
    struct rlimit before = {.rlim_cur = 1024, .rlim_max = 1024};

    (void)getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit raised = {.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
    bool good = setrlimit(RLIMIT_NOFILE, &raised) == 0;
    int most = (int)MIN(good ? raised.rlim_cur : before.rlim_cur, G_MAXINT);
    *ret_most = most - MIN(DESCRIPTORS_KEPT, most / 4);
    return before;
}
