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

// Where one processor runs this daemon and those whom it serves, each reader of a channel is let go
// ahead at every piece that is written to it, since it has had less time; so both take turns far
// more often than they need to. A step (nice -1) in front of them makes pieces gather. Not if a
// niceness was given, or that is not allowed.
void mux_process_step_ahead(void);
// In a child: back.
void mux_process_step_back(void);

// In a child, before exec(): it may not look into other processes, even when this daemon may. (With
// "no new privileges"; otherwise a program of root's may do all again.)
void mux_process_drop_sight(void);
