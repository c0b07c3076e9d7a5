// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The table that stands in PROTOCOL.md. A STOP closes our direction: the answer to it is FIN.

#include "state.h"

#define IGN (MUX_CHANNEL_STATES)
#define ERR (MUX_CHANNEL_STATES + 1)

#define OPENING MUX_CHANNEL_OPENING
#define ASKED   MUX_CHANNEL_ASKED
#define OPEN    MUX_CHANNEL_OPEN
#define S_DONE  MUX_CHANNEL_SEND_DONE
#define R_DONE  MUX_CHANNEL_RECV_DONE
#define CLOSED  MUX_CHANNEL_CLOSED
#define DEAD    MUX_CHANNEL_DEAD

// clang-format off
static const uint8_t steps[MUX_CHANNEL_STATES][MUX_CHANNEL_INPUTS] = {
    //          ACCEPT DATA    FIN     STOP    RESET CREDIT  RECLAIM RETURN  accept fin     reset
    [OPENING] = {OPEN, ERR,    ERR,    ERR,    DEAD, ERR,    ERR,    ERR,    ERR,   ERR,    DEAD},
    [ASKED]   = {ERR,  ERR,    ERR,    ERR,    DEAD, ERR,    ERR,    ERR,    OPEN,  ERR,    DEAD},
    [OPEN]    = {ERR,  OPEN,   R_DONE, S_DONE, DEAD, OPEN,   OPEN,   OPEN,   ERR,   S_DONE, DEAD},
    [S_DONE]  = {ERR,  S_DONE, CLOSED, IGN,    DEAD, IGN,    IGN,    S_DONE, ERR,   IGN,    DEAD},
    [R_DONE]  = {ERR,  ERR,    ERR,    CLOSED, DEAD, R_DONE, R_DONE, ERR,    ERR,   CLOSED, DEAD},
    [CLOSED]  = {ERR,  ERR,    ERR,    IGN,    IGN,  IGN,    IGN,    ERR,    ERR,   IGN,    IGN},
    [DEAD]    = {IGN,  IGN,    IGN,    IGN,    IGN,  IGN,    IGN,    IGN,    IGN,   IGN,    IGN},
};
// clang-format on

static const char *const state_names[MUX_CHANNEL_STATES] = {
    [OPENING] = "opening",    [ASKED] = "asked",   [OPEN] = "open", [S_DONE] = "send-closed",
    [R_DONE] = "recv-closed", [CLOSED] = "closed", [DEAD] = "dead",
};

int mux_channel_step(MuxChannelState state, MuxChannelInput input, MuxChannelState *ret_state)
{
    uint8_t next = steps[state][input];
    if (next >= MUX_CHANNEL_STATES)
        return next == IGN ? MUX_CHANNEL_IGNORE : MUX_CHANNEL_ERROR;
    *ret_state = next;
    return 0;
}

MuxChannelInput mux_channel_input(MuxFrameType type)
{
    static const uint8_t inputs[MUX_FRAME_TYPES] = {
        [MUX_FRAME_ACCEPT] = MUX_IN_ACCEPT + 1,   [MUX_FRAME_DATA] = MUX_IN_DATA + 1,
        [MUX_FRAME_FIN] = MUX_IN_FIN + 1,         [MUX_FRAME_STOP] = MUX_IN_STOP + 1,
        [MUX_FRAME_RESET] = MUX_IN_RESET + 1,     [MUX_FRAME_CREDIT] = MUX_IN_CREDIT + 1,
        [MUX_FRAME_RECLAIM] = MUX_IN_RECLAIM + 1, [MUX_FRAME_RETURN] = MUX_IN_RETURN + 1,
    };
    return inputs[type] ? inputs[type] - 1u : MUX_CHANNEL_INPUTS;
}

const char *mux_channel_state_name(MuxChannelState state)
{
    return state_names[state];
}
