// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Two sessions joined in memory. An end keeps a log of its events, one line each, so that a test
// compares what happened with what should have, as text:
//
//     UP / DOWN <reason>[: detail] / REJECT <detail> / SILENT / HEARD
//     OPEN <id> <name> / ACCEPT <id> / DATA <id> <bytes> / FIN <id> / STOP <id> / RESET <id> <code>
//     SHARED <id> <bytes>: DATA in a slot / NOTICE <id> <sequence> <offset> <length>
//
// DATA lines of one channel that follow each other are joined: where frames end means nothing.
#pragma once

#include <glib.h>

#include "proto/session.h"

#define GUEST_ID 0x1111u
#define HOST_ID  0x2222u

typedef struct End {
    MuxSession *session;
    GString *log;
    GHashTable *channels; // by id, from open until close
    uint32_t last_data;   // the channel whose DATA line is the log's last, or 0
    bool last_shared;     // …and it is a SHARED line
    uint64_t now_us;
    GByteArray *heard; // all bytes that it was fed
    uint64_t cut;      // a feed that goes across this many bytes is fed as two; UINT64_MAX: none
    size_t chunk;      // bytes that are fed at once; 0: all there are
    bool accepts;      // takes what the peer opens, at once
    bool consumes;     // reads what comes, at once
    bool holds;        // keeps slots until end_give()
    GArray *slots;     // uint64_t, so kept
    uint64_t shared;   // bytes of DATA events in slots
    uint64_t taken;    // bytes of all DATA events
} End;

void end_init(End *end, MuxRole role, const MuxLimits *limits);
// Closes what is open, checks that every counter is back at zero, and frees.
void end_deinit(End *end);
void end_start(End *end, uint64_t id);
// Takes all events that there are.
void end_drain(End *end);
// Bytes from the port; events are taken as they come.
void end_feed(End *end, const uint8_t *bytes, size_t n);
// All that the session has to say now, written to the port at once; to be freed.
GByteArray *end_output(End *end);
// The log is this; it begins anew.
#define end_expect(end, text)                                                                      \
    do {                                                                                           \
        g_assert_cmpstr((end)->log->str, ==, text);                                                \
        end_forget(end);                                                                           \
    } while (0)
void end_forget(End *end);

// The nonce that channels are opened with here: no two have the same.
uint32_t nonce_of(uint32_t id);
// NULL when it is refused.
MuxChannel *end_open(End *end, const char *name);
// NULL when there is none of this id.
MuxChannel *end_channel(End *end, uint32_t id);
uint32_t channel_id(const MuxChannel *channel);
// Sends as much as it is given turns for; returns how much that was.
size_t end_write(End *end, MuxChannel *channel, const void *bytes, size_t n);
// The reader takes `n` bytes, or as many as there are.
void end_read(MuxChannel *channel, size_t n);
// Gives `n` slots back, the oldest first, or as many as there are.
void end_give(End *end, unsigned n);
MuxRegionInfo end_region(const End *end, bool ours);
void end_close(End *end, MuxChannel *channel, MuxCode code);
MuxSessionInfo end_info(const End *end);
// There are no channels, and every counter of them is zero.
void end_assert_idle(const End *end);

typedef struct Pair {
    End guest, host;
} Pair;

// Both are there, and down.
void pair_init(Pair *pair, const MuxLimits *guest, const MuxLimits *host);
// Starts both, and runs the handshake. The logs are empty afterwards.
void pair_up(Pair *pair);
void pair_deinit(Pair *pair);
// One write of one end. Returns how many bytes there were.
size_t pair_carry(End *from, End *to);
// What `from` writes from now on goes through this memory, of slots of this kind, when it is to.
void pair_share(End *from, End *to, uint32_t epoch, void *memory, uint32_t size, uint32_t count);
// Writes of both, until neither has anything to say.
void pair_settle(Pair *pair);
// Time passes for both.
void pair_sleep(Pair *pair, uint64_t us);
