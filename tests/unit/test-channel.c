// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// channel.c: every state with everything that can happen in it, and what each end is told of it.

#include "proto/channel.h"

#include <string.h>

#include "forge.h"

// --- the table

static const char *const states[] = {"opening",     "asked",  "open", "send-closed",
                                     "recv-closed", "closed", "dead"};

// What comes of each input: a state, "-" for nothing, "!" for a breach of the protocol.
static const char *const expected[MUX_CHANNEL_STATES][MUX_CHANNEL_INPUTS] = {
    // clang-format off
    // ACCEPT DATA           FIN            STOP           RESET   CREDIT         RECLAIM        RETURN         accept  fin            reset
    {"open", "!",           "!",           "!",           "dead", "!",           "!",           "!",           "!",    "!",           "dead"},
    {"!",    "!",           "!",           "!",           "dead", "!",           "!",           "!",           "open", "!",           "dead"},
    {"!",    "open",        "recv-closed", "send-closed", "dead", "open",        "open",        "open",        "!",    "send-closed", "dead"},
    {"!",    "send-closed", "closed",      "-",           "dead", "-",           "-",           "send-closed", "!",    "-",           "dead"},
    {"!",    "!",           "!",           "closed",      "dead", "recv-closed", "recv-closed", "!",           "!",    "closed",      "dead"},
    {"!",    "!",           "!",           "-",           "-",    "-",           "-",           "!",           "!",    "-",           "-"},
    {"-",    "-",           "-",           "-",           "-",    "-",           "-",           "-",           "-",    "-",           "-"},
    // clang-format on
};

static const char *outcome(MuxChannelState state, MuxChannelInput input)
{
    MuxChannelState next = MUX_CHANNEL_STATES;
    int r = mux_channel_step(state, input, &next);
    g_assert_true((r == 0) == (next != MUX_CHANNEL_STATES)); // untouched otherwise
    if (r == MUX_CHANNEL_IGNORE)
        return "-";
    if (r == MUX_CHANNEL_ERROR)
        return "!";
    return next < MUX_CHANNEL_STATES ? states[next] : "none";
}

static void test_table(void)
{
    g_assert_cmpint(MUX_CHANNEL_STATES, ==, 7);
    g_assert_cmpint(MUX_CHANNEL_INPUTS, ==, 11);
    for (unsigned state = 0; state < MUX_CHANNEL_STATES; state++)
        for (unsigned input = 0; input < MUX_CHANNEL_INPUTS; input++)
            g_assert_cmpstr(outcome(state, input), ==, expected[state][input]);
}

static void test_inputs(void)
{
    static const uint8_t inputs[MUX_FRAME_TYPES] = {
        MUX_CHANNEL_INPUTS, MUX_CHANNEL_INPUTS, MUX_CHANNEL_INPUTS, MUX_CHANNEL_INPUTS,
        MUX_CHANNEL_INPUTS, MUX_CHANNEL_INPUTS, MUX_IN_ACCEPT,      MUX_IN_DATA,
        MUX_IN_FIN,         MUX_IN_STOP,        MUX_IN_RESET,       MUX_IN_CREDIT,
        MUX_IN_RECLAIM,     MUX_IN_RETURN,      MUX_CHANNEL_INPUTS, MUX_CHANNEL_INPUTS,
        MUX_CHANNEL_INPUTS};
    for (unsigned type = 0; type < MUX_FRAME_TYPES; type++)
        g_assert_cmpuint(mux_channel_input(type), ==, inputs[type]);
}

// --- the same through a session: each frame in each state

static const char *state_of(const MuxChannel *channel)
{
    MuxChannelInfo info;
    mux_channel_info(channel, &info);
    return info.state;
}

// A host's channel in this state; what was said on the way is forgotten.
static MuxChannel *bring_to(Forge *forge, MuxChannelState state)
{
    MuxChannel *channel;
    uint32_t id = state == MUX_CHANNEL_OPENING ? 2 : 1;

    if (state == MUX_CHANNEL_OPENING) {
        channel = end_open(&forge->end, "a");
    } else {
        forge_open(forge, id, 1000, "a");
        channel = end_channel(&forge->end, id);
    }
    if (state != MUX_CHANNEL_OPENING && state != MUX_CHANNEL_ASKED)
        mux_channel_accept(channel, NULL);
    if (state == MUX_CHANNEL_SEND_DONE || state == MUX_CHANNEL_CLOSED)
        mux_channel_fin(channel);
    if (state == MUX_CHANNEL_RECV_DONE || state == MUX_CHANNEL_CLOSED)
        forge_empty(forge, MUX_FRAME_FIN, id);
    if (state == MUX_CHANNEL_DEAD)
        forge_reset(forge, id, MUX_CODE_CLOSED);
    g_assert_cmpstr(state_of(channel), ==, states[state]);
    if (state != MUX_CHANNEL_CLOSED) // of which the FIN is still to be sent, or it would be unknown
        forge_listen(forge);
    g_string_truncate(forge->said, 0);
    end_forget(&forge->end);
    return channel;
}

static void send_input(Forge *forge, MuxChannelInput input, uint32_t id)
{
    static const MuxFrameType types[] = {MUX_FRAME_ACCEPT,  MUX_FRAME_DATA,  MUX_FRAME_FIN,
                                         MUX_FRAME_STOP,    MUX_FRAME_RESET, MUX_FRAME_CREDIT,
                                         MUX_FRAME_RECLAIM, MUX_FRAME_RETURN};
    MuxFrameType type = types[input];
    if (type == MUX_FRAME_DATA)
        forge_data(forge, id, 3);
    else if (type == MUX_FRAME_RESET)
        forge_reset(forge, id, MUX_CODE_REFUSED);
    else if (mux_frame_kind(type)->max == 0)
        forge_empty(forge, type, id);
    else if (type == MUX_FRAME_ACCEPT)
        forge_accept(forge, id, 2000);
    else
        forge_number(forge, type, id, type == MUX_FRAME_RETURN ? 0 : 2000);
}

static const char *event_of(MuxChannelInput input)
{
    static const char *const events[] = {[MUX_IN_ACCEPT] = "ACCEPT 2\n",
                                         [MUX_IN_DATA] = "DATA 1 xxx\n",
                                         [MUX_IN_FIN] = "FIN 1\n",
                                         [MUX_IN_STOP] = "STOP 1\n",
                                         [MUX_IN_RESET] = "RESET 1 refused\n",
                                         [MUX_IN_CREDIT] = "",
                                         [MUX_IN_RECLAIM] = "",
                                         [MUX_IN_RETURN] = ""};
    return events[input];
}

static void check_frame(MuxChannelState state, MuxChannelInput input)
{
    const char *cell = expected[state][input];
    Forge forge;
    forge_up(&forge, MUX_HOST, NULL, NULL);
    MuxChannel *channel = bring_to(&forge, state);
    if (input == MUX_IN_RETURN)
        mux_channel_reclaim(channel);
    send_input(&forge, input, channel_id(channel));

    if (strcmp(cell, "!") == 0) {
        const char *all = forge.end.log->str;
        g_assert_true(g_str_has_suffix(
            all, "DOWN protocol: a frame that the channel's state does not allow\n"));
        g_assert_cmpstr(state_of(channel), ==, "dead");
    } else if (strcmp(cell, "-") == 0) {
        end_expect(&forge.end, "");
        g_assert_cmpstr(state_of(channel), ==, states[state]);
    } else {
        if (state == MUX_CHANNEL_OPENING && input == MUX_IN_RESET)
            end_expect(&forge.end, "RESET 2 refused\n");
        else
            end_expect(&forge.end, event_of(input));
        g_assert_cmpstr(state_of(channel), ==, cell);
    }
    forge_deinit(&forge);
}

static void test_frames(void)
{
    for (unsigned state = 0; state < MUX_CHANNEL_STATES; state++)
        for (unsigned input = MUX_IN_ACCEPT; input <= MUX_IN_RETURN; input++)
            check_frame(state, input);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/channel/table", test_table);
    g_test_add_func("/channel/inputs", test_inputs);
    g_test_add_func("/channel/frames", test_frames);
    return g_test_run();
}
