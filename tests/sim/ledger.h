// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What was really done on each channel, written down beside the protocol by whoever did it. Each
// channel has a number, which travels in its name, and both directions' bytes are computed from
// that number: so a byte that comes out at the wrong place, in the wrong channel or in another
// session is seen.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Entry {
    uint64_t guest_id, host_id; // of the session that it was opened in
    unsigned opener;            // the side that did
    // Of each side, 0 the guest and 1 the host:
    uint64_t sent[2]; // bytes it gave
    uint64_t fin_at[2];
    bool fin[2], stopped[2], closed[2];
    unsigned code[2]; // that it closed with
    uint32_t id;      // in its session
    bool accepted;
    bool undone; // its opener was rolled back to before it was opened
    bool torn;   // one side was rolled back: its own counters went down since
    struct Chan *at[2];
} Entry;

typedef struct Ledger {
    Entry *entries;
    uint32_t count, room;
} Ledger;

#define LEDGER_NAME_MAX 1200

// A new channel's number.
uint32_t ledger_add(Ledger *ledger, unsigned opener, uint64_t guest_id, uint64_t host_id);
Entry *ledger_entry(const Ledger *ledger, uint32_t number);
void ledger_deinit(Ledger *ledger);

// The name that a channel is opened with; its length.
size_t ledger_name(uint32_t number, char *ret_name);
// The channel that a name belongs to; UINT32_MAX if to none.
uint32_t ledger_number(const Ledger *ledger, const uint8_t *name, size_t length);

// What `side` sends on a channel at this position.
void ledger_fill(uint32_t number, unsigned side, uint64_t position, uint8_t *bytes, size_t n);
bool ledger_matches(uint32_t number, unsigned side, uint64_t position, const uint8_t *bytes,
                    size_t n);
