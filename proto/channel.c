// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A channel belongs to two: to the session, while its id means something or a frame of it remains
// to be sent, and to its owner, until he closes it. It is freed when neither has it any more.
//
// Invariants: it is in the scheduler exactly while it is ready, may send and has credit; it is in
// one of the session's control lists exactly while it wants to send frames or its owner is to be
// told of its death.
//
// What frames do to it is in arrive.c, what its owner does in owner.c.

#include "channel.h"

#include <stdlib.h>

#include "session-private.h"

bool mux_channel_ours(const MuxChannel *channel)
{
    return channel->entry.id % 2 == (channel->session->role == MUX_GUEST ? 1 : 0);
}

static uint32_t *counter(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    return mux_channel_ours(channel) ? &session->ours : &session->theirs;
}

static uint32_t *pending_counter(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    return mux_channel_ours(channel) ? &session->unanswered : &session->unserved;
}

static void set_pending(MuxChannel *channel, bool pending)
{
    if (channel->pending == pending)
        return;
    channel->pending = pending;
    *pending_counter(channel) += pending ? 1 : UINT32_MAX;
}

MuxChannel *mux_channel_new(MuxSession *session, uint32_t id, MuxChannelState state)
{
    MuxChannel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return NULL;

    channel->session = session;
    channel->entry.id = id;
    channel->state = (uint8_t)state;
    channel->listed = true;
    mux_list_init(&channel->control);
    mux_share_init(&channel->share);
    mux_window_init(&channel->window, &session->budget, session->now_us);
    mux_table_add(&session->channels, &channel->entry);
    session->alive++;
    ++*counter(channel);
    if (state == MUX_CHANNEL_ASKED)
        set_pending(channel, true);
    return channel;
}

static void unlist(MuxChannel *channel)
{
    if (!channel->listed)
        return;
    channel->listed = false;
    --*counter(channel);
    channel->session->own -= channel->own;
    mux_table_remove(&channel->session->channels, &channel->entry);
}

void mux_channel_free(MuxChannel *channel)
{
    set_pending(channel, false);
    unlist(channel);
    mux_list_remove(&channel->control);
    mux_scheduler_remove(&channel->session->scheduler, &channel->share);
    mux_window_deinit(&channel->window, &channel->session->budget);
    channel->session->alive--;
    free(channel->opening);
    free(channel);
}

void mux_channel_sweep(MuxChannel *channel)
{
    if ((channel->state != MUX_CHANNEL_CLOSED && channel->state != MUX_CHANNEL_DEAD) ||
        channel->wants)
        return;
    unlist(channel);
    if (channel->released)
        mux_channel_free(channel);
}

void mux_channel_unwant(MuxChannel *channel, uint8_t wants)
{
    channel->wants &= (uint8_t)~wants;
    if (!channel->wants)
        mux_list_remove(&channel->control);
}

// Takes a step that the table allows; the rest of the channel follows. What would now tell the peer
// nothing is not sent: a peer that has closed the channel may open another one, and this one must
// not count then.
void mux_channel_enter(MuxChannel *channel, MuxChannelState state)
{
    channel->state = (uint8_t)state;
    if (state != MUX_CHANNEL_OPENING && state != MUX_CHANNEL_ASKED &&
        !(channel->wants & MUX_WANT_RESET))
        set_pending(channel, false);
    if (state == MUX_CHANNEL_DEAD)
        mux_channel_unwant(channel, (uint8_t)~MUX_WANT_RESET);
    else if (state == MUX_CHANNEL_RECV_DONE || state == MUX_CHANNEL_CLOSED)
        mux_channel_unwant(channel, MUX_WANT_CREDIT | MUX_WANT_RECLAIM | MUX_WANT_STOP);
    mux_channel_schedule(channel);
}

void mux_channel_kill(MuxChannel *channel)
{
    channel->wants = 0;
    channel->code = MUX_CODE_LINK_DOWN;
    mux_channel_enter(channel, MUX_CHANNEL_DEAD);
    if (channel->released)
        mux_channel_free(channel);
    else
        mux_list_append(&channel->session->dead, &channel->control);
}

void mux_channel_want(MuxChannel *channel, uint8_t wants)
{
    MuxSession *session = channel->session;

    channel->wants |= wants;
    MuxList *list = &session->urgent;
    if (channel->wants & MUX_WANT_OPEN)
        list = &session->opens;
    else if (channel->wants & MUX_WANT_RESET && mux_channel_ours(channel))
        list = &session->resets;
    if (mux_list_empty(&channel->control) || wants & MUX_WANT_RESET)
        mux_list_append(list, &channel->control);
}

void mux_channel_schedule(MuxChannel *channel)
{
    bool may_send = channel->state == MUX_CHANNEL_OPEN || channel->state == MUX_CHANNEL_RECV_DONE;
    if (!may_send || !channel->ready)
        mux_scheduler_remove(&channel->session->scheduler, &channel->share);
    else if (mux_credit_left(&channel->credit) > 0)
        mux_scheduler_add(&channel->session->scheduler, &channel->share);
    else {
        channel->stalls += !channel->share.held;
        mux_scheduler_hold(&channel->session->scheduler, &channel->share);
    }
}
