// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A link's two regions of shared memory, through which bytes of channels go: one that this daemon
// writes, one that the other one does. Each is the session's; in the next one it is attached anew.
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "link.h"

typedef enum MuxRegionSide {
    MUX_REGION_OUT, // that this daemon writes
    MUX_REGION_IN,
} MuxRegionSide;

typedef struct MuxRegions MuxRegions;

MuxRegions *mux_regions_new(MuxLink *link);
// NULL is fine; returns NULL. The link's joints must be gone.
MuxRegions *mux_regions_free(MuxRegions *regions);

// Divides `size` bytes, at least 1 MiB, into slots of several sizes. Returns how many classes.
unsigned mux_regions_divide(uint64_t size, MuxSlotClass classes[MUX_SLOT_CLASSES]);

// Maps `size` bytes of `fd`, which stays the caller's, and uses them until the session ends, or
// mux_regions_detach(). How fast a region is that we write, is measured first. 0, or a negative
// errno: -EINVAL when the classes do not fit, or there is no session that can have regions.
int mux_regions_attach(MuxLink *link, MuxRegionSide side, int fd, uint64_t size, uint32_t epoch,
                       const MuxSlotClass *classes, unsigned n);
void mux_regions_detach(MuxLink *link, MuxRegionSide side);
// The session ended: bytes that have yet to reach their readers are copied.
void mux_regions_end(MuxLink *link);

// For status, while it is not attached: "off" with why, or "proving". `why` may be NULL.
void mux_regions_say(MuxLink *link, MuxRegionSide side, const char *state, const char *why);

// Nobody wants any, and status says why; logged once.
void mux_regions_unwanted(MuxLink *link, const char *why);
// It is being measured how fast that is, by this end (OUT) or the other one (IN): what goes
// meanwhile is not counted. No effect when that is known.
void mux_regions_measuring(MuxLink *link, MuxRegionSide side, bool begins);
// How fast it is has been measured: from so many bytes on at once, our region is used. If it is
// MUX_NEVER: why; it may be chance, so it is measured again, and then ever more seldom.
void mux_regions_measured(MuxLink *link, uint32_t threshold, const char *why);

// A system call found a region's memory not to be there (a file that was cut).
void mux_regions_fault(MuxLink *link);
// …which has its consequences here, when nobody has a turn.
void mux_regions_check(MuxLink *link);

// Adds "out" and "in".
void mux_regions_json(const MuxLink *link, json_object *object);
