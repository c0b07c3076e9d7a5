// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the parts of the guest's memory know of each other:
//
//     memory.c      the channel: what comes, what goes, its beginning and end
//     bar.c         a device that the host has named: finding and proving it
//     bar-end.c     …and who still has it, when it is to go; who maps what was unplugged
//     region.c      the two regions and their devices
//     share.c       a named buffer and its device: what programs do with it; all of them
//     share-line.c  …what the host says of it
#pragma once

#include "devices.h"
#include "holders.h"
#include "memory.h"
#include "relay/hex.h"
#include "relay/lines.h"
#include "relay/link.h"
#include "relay/regions.h"

typedef struct MuxBar MuxBar;
typedef struct MuxShare MuxShare;

struct MuxMemory {
    MuxRelay *relay;
    MuxLink *link; // the only one; NULL before
    MuxDevices *devices;
    MuxHolders *holders;
    MuxLines *lines;
    GQueue says;  // of json_object: answers, and what programs want
    MuxList bars; // all that the host has named and that are still there
    MuxList mays; // questions that are being looked into
    unsigned n_bars, n_mays;
    bool listed;     // the host has named the buffers that are still there, in this session
    int64_t request; // the last
};

// Says a line, which becomes the channel's. Without a channel it is forgotten.
void mux_memory_say(MuxMemory *memory, json_object *line);
// So much waits to be said that programs cannot ask for more now.
bool mux_memory_is_busy(const MuxMemory *memory);

// --- devices

typedef enum MuxBarState {
    MUX_BAR_SOUGHT, // for the first time, or once more
    MUX_BAR_PROVED,
    MUX_BAR_GOING, // the host wants it back
    MUX_BAR_HELD,  // …and some process has it
} MuxBarState;

struct MuxBar {
    MuxMemory *memory;
    MuxList node;
    uint64_t id, size;
    uint8_t mark[MUX_MARK_SIZE];
    bool write;
    MuxBarState state;
    uint64_t deadline_us;
    MuxDevice *device; // NULL: not found yet
    MuxShare *share;   // whose it is; or NULL
    bool is_region;
    MuxRegionSide side;
    guint timer; // GLib source: it is looked for again
    MuxSearch search;
    unsigned told; // holders
};

// NULL: there are too many.
MuxBar *mux_bar_new(MuxMemory *memory, uint64_t id);
void mux_bar_free(MuxBar *bar);
MuxBar *mux_bar_find(const MuxMemory *memory, uint64_t id);
// {"device"}. These all: false with an error when it makes no sense.
bool mux_bar_take(MuxMemory *memory, uint64_t id, json_object *untrusted_line, GError **error);
// Devices have come or gone.
void mux_bars_changed(MuxMemory *memory);
// The session ended.
void mux_bars_down(MuxMemory *memory);

// {"gone"} and {"may"}.
bool mux_bar_take_gone(MuxMemory *memory, uint64_t id, json_object *untrusted_line, GError **error);
bool mux_may_take(MuxMemory *memory, uint64_t id, GError **error);
void mux_mays_end(MuxMemory *memory);
// No program of its buffer has a handle any more: now it is seen who else has it.
void mux_bar_idle(MuxBar *bar);

// --- regions: {"region"}

bool mux_region_take(MuxMemory *memory, json_object *untrusted_line, GError **error);
// The device is to go.
void mux_region_end(MuxBar *bar);

// --- buffers

struct MuxShare {
    MuxMemory *memory;
    MuxBuffer *buffer;
    MuxBar *bar;          // NULL: not known yet
    int64_t request;      // while the host makes it
    guint timer;          // GLib source: until it has
    json_object *changes; // that the host is not told yet; or NULL
    size_t changed_bytes; // of them
    bool named;           // in this session
    bool forsaken;        // the host does not ask for it back: it ends when no program has it
};

void mux_share_create(MuxBuffer *buffer);
void mux_share_set(MuxBuffer *buffer, json_object *changes);
void mux_share_release(MuxBuffer *buffer, const char *reason);
void mux_share_idle(MuxBuffer *buffer);
int mux_share_memory(MuxBuffer *buffer, bool write);
// Frees it, its device's entry, and its buffer.
void mux_share_end(MuxShare *share);
// The device is gone without a word.
void mux_share_lost(MuxShare *share);
MuxShare *mux_share_new(MuxBuffer *buffer);
// It cannot be had: both are freed.
void mux_share_fail(MuxShare *share, const char *code, const char *text);
// The owner here is gone, or nobody here wants it. `id` 0: it is not known yet. `reason`: as
// programs are told it.
void mux_share_say_release(MuxMemory *memory, const char *name, uint64_t id, const char *reason);
// share-line.c: {"buffer"}, {"request", "error"} and {"ready"}.
bool mux_share_take(MuxMemory *memory, const char *untrusted_name, json_object *untrusted_line,
                    GError **error);
bool mux_share_take_error(MuxMemory *memory, json_object *untrusted_line, GError **error);
void mux_shares_listed(MuxMemory *memory);
// The next change that the host is to be told, or NULL.
json_object *mux_shares_next(MuxMemory *memory);
// The session ended; `lost`: nothing can come of them any more, in this one.
void mux_shares_down(MuxMemory *memory, bool lost);
// Frees what is here of them, not the buffers.
void mux_shares_free(MuxMemory *memory);

// --- what is on the wire (memory-line.c)

// A new line that begins with such an id.
json_object *mux_id_line(const char *key, uint64_t id);
void mux_line_text(json_object *line, const char *key, const char *text);
// An error about what the host says. Returns false.
bool mux_nonsense(GError **error, const char *text);
