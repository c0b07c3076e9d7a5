// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Shared by holders.c (the passes) and holders-visit.c (one process).
#pragma once

#include <dirent.h>

#include "holders.h"
#include "maps.h"

struct MuxHolders {
    const MuxDevices *devices;
    bool strict;
    MuxList waiting; // searches for the next pass
    MuxList current; // …of this one
    guint source;    // GLib's, while a pass is under way
    dev_t sysfs;     // ours; there is one for each network namespace
    unsigned passes;
    int newest; // process id when the pass began
    DIR *proc;
    int pid;       // being looked at
    int process;   // its folder, or -1
    char task[24]; // "", or "task/TID/" of the thread by which it is looked at
    DIR *tasks;    // those that are still to be tried
    DIR *files;    // its descriptors
    MuxMaps maps;
};

// None of the searches under way can be answered: a negative errno.
void mux_holders_fail(const MuxHolders *holders, int error);
// The next name in a folder that is a number, or 0 at the end.
int mux_next_number(DIR *folder);

void mux_visit_begin(MuxHolders *holders, int pid);
// A little of it. False when there is no more, or no process is visited.
bool mux_visit_step(MuxHolders *holders);
void mux_visit_end(MuxHolders *holders);
