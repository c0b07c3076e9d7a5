// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A channel's states and what leads from one to another: the table, and nothing else.
#pragma once

#include "frame.h"

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

// The state after `input`: 0 and the new state, MUX_CHANNEL_IGNORE or MUX_CHANNEL_ERROR.
int mux_channel_step(MuxChannelState state, MuxChannelInput input, MuxChannelState *ret_state);

// The input that a frame type is; MUX_CHANNEL_INPUTS for one that belongs to no open channel.
MuxChannelInput mux_channel_input(MuxFrameType type);

// The word for a state in PROTOCOL.md.
const char *mux_channel_state_name(MuxChannelState state);
