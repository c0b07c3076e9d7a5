// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One channel inside a session: its counters, and its places in the session's lists. Private to
// proto/.
#pragma once

#include "frame.h"
#include "scheduler.h"
#include "session.h"
#include "state.h"
#include "table.h"
#include "window.h"

// Frames that wait to be sent for a channel, one bit each; values are computed when they are sent,
// so that many updates become one frame.
enum {
    MUX_WANT_OPEN = 1 << 0,
    MUX_WANT_ACCEPT = 1 << 1,
    MUX_WANT_CREDIT = 1 << 2,
    MUX_WANT_RETURN = 1 << 3,
    MUX_WANT_RECLAIM = 1 << 4,
    MUX_WANT_STOP = 1 << 5,
    MUX_WANT_FIN = 1 << 6,
    MUX_WANT_RESET = 1 << 7,
};

struct MuxChannel {
    MuxSession *session;
    void *user;
    MuxEntry entry;  // in the session's table, while its id means something there
    MuxList control; // in one of the session's lists: something waits to be sent, or to be told
    MuxShare share;
    MuxCredit credit;
    MuxWindow window;
    uint8_t *opening; // until OPEN was sent: the name, and behind it the attributes
    uint32_t stalls;
    uint32_t run;   // bytes that came from the owner without a pause
    uint32_t last;  // bytes that went into the last slot
    uint32_t lent;  // bytes of slots that the peer has not given back
    uint32_t most;  // bytes a turn; 0: as it comes
    uint32_t nonce; // of its OPEN: ACCEPT has the same
    uint16_t name_length, opening_length;
    uint8_t state; // MuxChannelState
    uint8_t wants; // MUX_WANT_ bits
    uint8_t code;  // MuxCode, for RESET
    uint8_t path;  // MuxPath
    bool listed;   // in the table, and counted
    bool own;      // to a name of mux_name_own(), opened by us
    bool pending;  // counted as not yet answered
    bool ready;    // the owner has bytes to send
    bool stopped;  // the owner takes no more bytes
    bool fin_out;  // our FIN was sent
    bool released; // the owner has closed it; freed when the last frame is out
};

// A channel with its tables' places, its window reserved; `id` is free. NULL when there is no
// memory.
MuxChannel *mux_channel_new(MuxSession *session, uint32_t id, MuxChannelState state);
// Takes it out of everything that it is in.
void mux_channel_free(MuxChannel *channel);

// A frame arrived. Returns 0 with the event that it makes (maybe NONE), or 1 with why it is against
// the protocol.
int mux_channel_receive(MuxChannel *channel, MuxFrameType type, const uint8_t *payload, size_t size,
                        MuxEvent *ret_event, const char **ret_error);

// The session is gone: nothing can be sent any more.
void mux_channel_kill(MuxChannel *channel);
// Asks the peer for the credit that it does not use.
void mux_channel_reclaim(MuxChannel *channel);
// Queues these frames; or takes back that they were.
void mux_channel_want(MuxChannel *channel, uint8_t wants);
void mux_channel_unwant(MuxChannel *channel, uint8_t wants);
// Takes a step that the table allows.
void mux_channel_enter(MuxChannel *channel, MuxChannelState state);
// Whether bytes may still come.
bool mux_channel_receiving(const MuxChannel *channel);
// It is open now: STOP follows if its owner stopped before.
void mux_channel_stop_if_deaf(MuxChannel *channel);
// Puts it into or out of the scheduler, as its state, credit and readiness say.
void mux_channel_schedule(MuxChannel *channel);
// Whether this end opened it.
bool mux_channel_ours(const MuxChannel *channel);
// Frees it if its owner has closed it and nothing remains to be sent.
void mux_channel_sweep(MuxChannel *channel);
