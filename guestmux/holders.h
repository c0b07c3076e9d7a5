// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who has a device's memory mapped or open, or maps memory of a device that was unplugged: such a
// mapping shows whatever is plugged at that place next. Whether there is anybody, the kernel says
// (mux_device_is_alone); who it is, is looked up in /proc, a few milliseconds' worth at a time.
//
// Where the kernel does not say, /proc has to do: of files that stand for devices, of what was
// unplugged before this process began. Somebody who goes to great lengths can hide from it.
#pragma once

#include "devices.h"
#include "proto/list.h"

typedef struct MuxHolders MuxHolders;

// Something that is looked for; embedded in its owner.
typedef struct MuxSearch MuxSearch;
struct MuxSearch {
    MuxList node;
    // What: this device, which stays while the search lasts; NULL: memory that was unplugged.
    const MuxDevice *device;
    void (*done)(MuxSearch *search); // not called from within mux_search_start()
    // The result.
    unsigned holders; // processes, without this one; "at least"
    int pid;          // one of them, or which could not be looked at; 0: none was seen
    char program[16]; // its name, printable
    int error;        // why it is not known: -EACCES (capability), -EAGAIN (too many new processes)
    // Private.
    int last; // pid that was counted
};

// `strict`: descriptors are looked at too, and it is an error if a process cannot be looked at. As
// it has to be, but for files that stand for devices: others have those open. `devices` stays.
MuxHolders *mux_holders_new(const MuxDevices *devices, bool strict);
// NULL is fine; returns NULL. No search may be under way.
MuxHolders *mux_holders_free(MuxHolders *holders);

void mux_search_init(MuxSearch *search);
// All processes that there are from now on are looked at.
void mux_search_start(MuxSearch *search, MuxHolders *holders, const MuxDevice *device,
                      void (*done)(MuxSearch *search));
// done() is not called. Harmless on one that is not under way.
void mux_search_cancel(MuxSearch *search);
bool mux_search_is_under_way(const MuxSearch *search);
