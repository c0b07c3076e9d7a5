// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One end: a session and its owner, who reads and writes the port as a daemon does and keeps a
// model of each channel (chan.h).
#pragma once

#include "pipe.h"
#include "proto/session.h"
#include "run.h"
#include "share.h"

struct End {
    Run *run;
    unsigned side; // 0 the guest, 1 the host
    MuxLimits limits;
    MuxSession *session;
    MuxAccount account; // of every second channel that it opens
    int64_t clock_us;   // how far its clock is from the run's
    bool port_open;
    bool hungry;  // a channel had bytes and did not give them
    bool torn;    // since it started, one end was rolled back
    bool told_up; // between UP and DOWN
    bool knows_silent;
    size_t unframed; // bytes of the batch that were looked at already
    Chan **chans;
    size_t count, room;
    Chan **closed; // that are kept, so that an event of one would be seen
    size_t closed_count, closed_room;
    uint32_t finished_from; // channels from this number on…
    unsigned finished;      // …that ended in order
    Share share;
};

End *end_new(Run *run, unsigned side, const MuxLimits *limits);
// The daemon is gone, and its apps with it.
void end_free(End *end);

void end_port_opened(End *end);
void end_port_closed(End *end);

// One wake-up: reads, handles what came, writes. False when nothing moved.
bool end_pump(End *end, Pipe *in, Pipe *out);
// UINT64_MAX, or when it wants to wake up, on the run's clock.
uint64_t end_deadline(const End *end);

// Opens a channel; NULL when that is refused.
Chan *end_open(End *end);
Chan *end_adopt(End *end, uint32_t number, bool opener, MuxChannel *mux);
void end_forget(End *end, Chan *chan);

// Everything that must hold between two wake-ups.
void end_check(End *end);

uint64_t end_guest_id(const End *end);
uint64_t end_host_id(const End *end);
