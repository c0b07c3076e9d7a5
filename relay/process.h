// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a daemon wants of the process that it was started as.
#pragma once

#include <stdbool.h>
#include <sys/resource.h>

// Who was started without standard input, output or error must not log into a socket that got their
// number.
void mux_process_fill_standard_descriptors(void);

// Each channel is a descriptor; the usual soft limit of 1,024 is for programs that use select().
// Returns what the limit was, and the number from which on descriptors are kept for the daemon
// itself.
struct rlimit mux_process_raise_descriptors(int *ret_most);

// In a child, before exec(): it may not look into other processes, even when this daemon may. (With
// "no new privileges"; otherwise a program of root's may do all again.)
void mux_process_drop_sight(void);
