// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See process.h.

#include "process.h"

#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <sys/syscall.h>
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

void mux_process_step_ahead(void)
{
    if (getpriority(PRIO_PROCESS, 0) == 0)
        (void)setpriority(PRIO_PROCESS, 0, -1);
}

void mux_process_step_back(void)
{
    if (getpriority(PRIO_PROCESS, 0) == -1)
        (void)setpriority(PRIO_PROCESS, 0, 0);
}

// libc has no function for these two.
void mux_process_drop_sight(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    const unsigned bit = CAP_TO_MASK(CAP_SYS_PTRACE);

    if (syscall(SYS_capget, &header, data) < 0)
        return;
    struct __user_cap_data_struct *of = &data[CAP_TO_INDEX(CAP_SYS_PTRACE)];
    of->effective &= ~bit;
    of->permitted &= ~bit;
    of->inheritable &= ~bit;
    (void)syscall(SYS_capset, &header, data);
}
