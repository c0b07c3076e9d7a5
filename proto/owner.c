// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the owner of a channel does with it: mux_session_open(), and the calls that begin with
// mux_channel_ in session.h.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "session-private.h"

// What OPEN has behind its numbers. False when there is no memory.
static bool compose(MuxChannel *channel, const MuxOpening *opening)
{
    uint8_t attributes[MUX_CALLER_SIZE];
    size_t size = opening->caller ? mux_caller_encode(attributes, opening->caller) : 0;

    channel->opening = malloc(opening->length + size);
    if (!channel->opening)
        return false;
    memcpy(channel->opening, opening->name, opening->length);
    memcpy(channel->opening + opening->length, attributes, size);
    channel->name_length = (uint16_t)opening->length;
    channel->opening_length = (uint16_t)(opening->length + size);
    return true;
}

static bool may_open(const MuxSession *session, bool own)
{
    uint32_t most = session->peer.channels < session->limits.channels ? session->peer.channels
                                                                      : session->limits.channels;
    if (own)
        return session->ours < most;
    return session->ours - session->own + session->limits.own < most;
}

int mux_session_open(MuxSession *session, const MuxOpening *opening, MuxChannel **ret_channel)
{
    size_t service;

    bool own = mux_name_own(opening->name, opening->length);
    if (!own && !mux_name_valid(opening->name, opening->length, &service))
        return MUX_OPEN_NAME;
    if (session->state != MUX_SESSION_UP)
        return MUX_OPEN_DOWN;
    if (!may_open(session, own) || session->alive >= mux_session_most_alive(session))
        return MUX_OPEN_LIMIT;
    if (session->next_id >= UINT32_MAX - 1) {
        mux_session_fail(session, MUX_REASON_IDS, NULL);
        return MUX_OPEN_DOWN;
    }

    MuxChannel *channel = mux_channel_new(session, session->next_id, MUX_CHANNEL_OPENING);
    if (!channel)
        return -ENOMEM;
    if (!compose(channel, opening)) {
        mux_channel_free(channel);
        return -ENOMEM;
    }
    session->next_id += 2;
    channel->own = own;
    session->own += own;
    channel->nonce = opening->nonce;
    channel->user = opening->user;
    mux_window_charge(&channel->window, &session->budget, opening->account);
    mux_channel_want(channel, MUX_WANT_OPEN);
    *ret_channel = channel;
    return 0;
}

// A reader may have lost interest before the channel was open, when no STOP could be sent.
void mux_channel_stop_if_deaf(MuxChannel *channel)
{
    if (channel->stopped)
        mux_channel_want(channel, MUX_WANT_STOP);
}

bool mux_channel_receiving(const MuxChannel *channel)
{
    return channel->state == MUX_CHANNEL_OPEN || channel->state == MUX_CHANNEL_SEND_DONE;
}

void mux_channel_set_user(MuxChannel *channel, void *user)
{
    channel->user = user;
}

void mux_channel_accept(MuxChannel *channel, void *user)
{
    MuxChannelState next;

    channel->user = user;
    if (mux_channel_step(channel->state, MUX_DO_ACCEPT, &next) != 0)
        return;
    mux_channel_want(channel, MUX_WANT_ACCEPT);
    mux_channel_enter(channel, next);
    mux_channel_stop_if_deaf(channel);
}

void mux_channel_ready(MuxChannel *channel)
{
    channel->ready = true;
    mux_channel_schedule(channel);
}

void mux_channel_fin(MuxChannel *channel)
{
    MuxChannelState next;

    if (mux_channel_step(channel->state, MUX_DO_FIN, &next) != 0)
        return;
    mux_channel_want(channel, MUX_WANT_FIN);
    mux_channel_enter(channel, next);
}

void mux_channel_stop(MuxChannel *channel)
{
    if (channel->stopped)
        return;
    channel->stopped = true;
    if (mux_channel_receiving(channel))
        mux_channel_want(channel, MUX_WANT_STOP);
}

void mux_channel_consumed(MuxChannel *channel, size_t n)
{
    bool due = mux_window_consume(&channel->window, n);

    if (!mux_channel_receiving(channel))
        mux_window_finish(&channel->window, &channel->session->budget);
    else if (due && !channel->stopped)
        mux_channel_want(channel, MUX_WANT_CREDIT);
}

void mux_channel_close(MuxChannel *channel, MuxCode code)
{
    MuxChannelState next;

    assert(!channel->released);
    channel->released = true;
    channel->user = NULL;
    mux_window_charge(&channel->window, &channel->session->budget, NULL);
    if (mux_channel_step(channel->state, MUX_DO_RESET, &next) == 0) {
        // The peer never heard of a channel whose MUX_CHANNEL_OPEN is not out.
        if (channel->wants & MUX_WANT_OPEN)
            channel->wants = 0;
        else
            mux_channel_want(channel, MUX_WANT_RESET);
        channel->code = (uint8_t)code;
        mux_channel_enter(channel, next);
    } else if (channel->state == MUX_CHANNEL_DEAD) {
        mux_list_remove(&channel->control);
    }
    mux_channel_sweep(channel);
}

void mux_channel_info(const MuxChannel *channel, MuxChannelInfo *ret_info)
{
    *ret_info = (MuxChannelInfo){
        .id = channel->entry.id,
        .state = mux_channel_state_name(channel->state),
        .ours = mux_channel_ours(channel),
        .sent = channel->credit.sent,
        .received = channel->window.received,
        .consumed = channel->window.consumed,
        .credit = mux_credit_left(&channel->credit),
        .window = channel->window.granted - channel->window.received,
        .stalls = channel->stalls,
    };
}

void mux_channel_reclaim(MuxChannel *channel)
{
    if (!mux_channel_receiving(channel))
        return;
    channel->window.reclaiming = true;
    mux_channel_want(channel, MUX_WANT_RECLAIM);
}
