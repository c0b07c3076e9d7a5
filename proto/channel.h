// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One channel inside a session: its state machine and its counters. Private to proto/; the calls of
// session.h that begin with mux_channel_ are in channel.c.
#pragma once

#include "frame.h"
#include "scheduler.h"
#include "session.h"
#include "table.h"
#include "window.h"

typedef enum MuxChannelState {
    MUX_CHANNEL_OPENING,   // we opened it; no answer yet
    MUX_CHANNEL_ASKED,     // the peer opened it; we have not answered
    MUX_CHANNEL_OPEN,      // both directions flow
    MUX_CHANNEL_SEND_DONE, // we sent FIN
    MUX_CHANNEL_RECV_DONE, // the peer sent FIN
    MUX_CHANNEL_CLOSED,    // both did
    MUX_CHANNEL_DEAD,      // reset by either end, or its session is gone
    MUX_CHANNEL_STATES,
} MuxChannelState;

// What can happen to a channel: the frames that arrive for it, then what its owner does.
typedef enum MuxChannelInput {
    MUX_IN_ACCEPT,
    MUX_IN_DATA,
    MUX_IN_FIN,
    MUX_IN_STOP,
    MUX_IN_RESET,
    MUX_IN_CREDIT,
    MUX_IN_RECLAIM,
    MUX_IN_RETURN,
    MUX_DO_ACCEPT,
    MUX_DO_FIN,
    MUX_DO_RESET,
    MUX_CHANNEL_INPUTS,
} MuxChannelInput;

#define MUX_CHANNEL_IGNORE 1 // nothing changes: late, or crossed with ours
#define MUX_CHANNEL_ERROR  2 // a peer that keeps to the protocol does not do this

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
    uint8_t *name; // until OPEN was sent
    uint16_t name_length;
    uint8_t state; // MuxChannelState
    uint8_t wants; // MUX_WANT_ bits
    uint8_t code;  // MuxCode, for RESET
    bool listed;   // in the table, and counted
    bool pending;  // counted as not yet answered
    bool ready;    // the owner has bytes to send
    bool stopped;  // the owner takes no more bytes
    bool fin_out;  // our FIN was sent
    bool released; // the owner has closed it; freed when the last frame is out
};

// The state after `input`: 0 and the new state, MUX_CHANNEL_IGNORE or MUX_CHANNEL_ERROR.
int mux_channel_step(MuxChannelState state, MuxChannelInput input, MuxChannelState *ret_state);

// The input that a frame type is; MUX_CHANNEL_INPUTS for one that belongs to no open channel.
MuxChannelInput mux_channel_input(MuxFrameType type);

// A channel with its tables' places, its window reserved; `id` is free. NULL when there is no
// memory.
MuxChannel *mux_channel_new(MuxSession *session, uint32_t id, MuxChannelState state);
// Takes it out of everything that it is in.
void mux_channel_free(MuxChannel *channel);

// A frame arrived. Returns 0 with the event that it makes (maybe NONE), or 1 with why it is against
// the protocol.
int mux_channel_receive(MuxChannel *channel, const MuxFrame *frame, const uint8_t *payload,
                        MuxEvent *ret_event, const char **ret_error);

// The session is gone: nothing can be sent any more.
void mux_channel_kill(MuxChannel *channel);
// Asks the peer for the credit that it does not use.
void mux_channel_reclaim(MuxChannel *channel);
// Queues these frames.
void mux_channel_want(MuxChannel *channel, uint8_t wants);
// Puts it into or out of the scheduler, as its state, credit and readiness say.
void mux_channel_schedule(MuxChannel *channel);
// Whether this end opened it.
bool mux_channel_ours(const MuxChannel *channel);
// Frees it if its owner has closed it and nothing remains to be sent.
void mux_channel_sweep(MuxChannel *channel);
