// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One end of one channel as its owner sees it: what it may still be told, and a check of all that
// it is.
#pragma once

#include "end.h"
#include "run.h"

typedef struct Chan {
    struct End *end;
    MuxChannel *mux; // NULL once closed
    size_t slot;     // in end->chans
    uint32_t number; // in the ledger
    bool opener;
    bool open;   // accepted: data flows
    bool dead;   // RESET came
    bool shared; // its last turn was in a slot
    bool fin_sent, fin_got, stop_sent, stop_got;
    bool wants_fin;    // when everything is given
    unsigned appetite; // of its reader, in percent
    uint64_t to_send;
    uint64_t sent, got, consumed;
} Chan;

// An event of the session for this channel. Fails the run when it must not come.
void chan_event(Chan *chan, const MuxEvent *event);
// Compares what the session says about it with what its owner knows. Returns the bytes that the
// peer may have on the way to, or in, its reader.
uint64_t chan_check(const Chan *chan);

// Tells all about it, in verbose mode.
void chan_trace(const Chan *chan);

// Both directions ended in order, or it is dead.
bool chan_over(const Chan *chan);
bool chan_may_send(const Chan *chan);
Entry *chan_entry(const Chan *chan);

// What its owner does.
void chan_accept(Chan *chan);
void chan_send(Chan *chan, uint64_t n, bool then_fin);
void chan_turn(Chan *chan, const MuxTurn *turn);
void chan_consume(Chan *chan, uint64_t n);
void chan_stop(Chan *chan);
void chan_close(Chan *chan, MuxCode code);
