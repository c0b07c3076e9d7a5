// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A channel belongs to two: to the session, while its id means something or a frame of it remains
// to be sent, and to its owner, until he closes it. It is freed when neither has it any more.
//
// Invariants: it is in the scheduler exactly while it is ready, may send and has credit; it is in
// one of the session's control lists exactly while it wants to send frames or its owner is to be
// told of its death.

#include "channel.h"

#include <assert.h>
#include <stdlib.h>

#include "bytes.h"
#include "limits.h"
#include "session-private.h"

#define RESET_STORM "resets in a storm"

#define IGN (MUX_CHANNEL_STATES)
#define ERR (MUX_CHANNEL_STATES + 1)

#define OPENING MUX_CHANNEL_OPENING
#define ASKED   MUX_CHANNEL_ASKED
#define OPEN    MUX_CHANNEL_OPEN
#define S_DONE  MUX_CHANNEL_SEND_DONE
#define R_DONE  MUX_CHANNEL_RECV_DONE
#define CLOSED  MUX_CHANNEL_CLOSED
#define DEAD    MUX_CHANNEL_DEAD

// The table that stands in PROTOCOL.md. A STOP closes our direction: the answer to it is FIN.
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

// --- life

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
    if (state == ASKED)
        set_pending(channel, true);
    return channel;
}

static void unlist(MuxChannel *channel)
{
    if (!channel->listed)
        return;
    channel->listed = false;
    --*counter(channel);
    mux_table_remove(&channel->session->channels, &channel->entry);
}

void mux_channel_free(MuxChannel *channel)
{
    set_pending(channel, false);
    unlist(channel);
    mux_list_remove(&channel->control);
    mux_scheduler_remove(&channel->share);
    mux_window_deinit(&channel->window, &channel->session->budget);
    channel->session->alive--;
    free(channel->name);
    free(channel);
}

void mux_channel_sweep(MuxChannel *channel)
{
    if ((channel->state != CLOSED && channel->state != DEAD) || channel->wants)
        return;
    unlist(channel);
    if (channel->released)
        mux_channel_free(channel);
}

static void unwant(MuxChannel *channel, uint8_t wants)
{
    channel->wants &= (uint8_t)~wants;
    if (!channel->wants)
        mux_list_remove(&channel->control);
}

// Takes a step that the table allows; the rest of the channel follows. What would now tell the peer
// nothing is not sent: a peer that has closed the channel may open another one, and this one must
// not count then.
static void enter(MuxChannel *channel, MuxChannelState state)
{
    channel->state = (uint8_t)state;
    if (state != OPENING && state != ASKED && !(channel->wants & MUX_WANT_RESET))
        set_pending(channel, false);
    if (state == DEAD)
        unwant(channel, (uint8_t)~MUX_WANT_RESET);
    else if (state == R_DONE || state == CLOSED)
        unwant(channel, MUX_WANT_CREDIT | MUX_WANT_RECLAIM | MUX_WANT_STOP);
    mux_channel_schedule(channel);
}

void mux_channel_kill(MuxChannel *channel)
{
    channel->wants = 0;
    channel->code = MUX_CODE_LINK_DOWN;
    enter(channel, DEAD);
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
    bool may_send = channel->state == OPEN || channel->state == R_DONE;
    if (!may_send || !channel->ready)
        mux_scheduler_remove(&channel->share);
    else if (mux_credit_left(&channel->credit) > 0)
        mux_scheduler_add(&channel->session->scheduler, &channel->share);
    else
        mux_scheduler_hold(&channel->share);
}

// A reader may have lost interest before the channel was open, when no STOP could be sent.
static void stop_if_stopped(MuxChannel *channel)
{
    if (channel->stopped)
        mux_channel_want(channel, MUX_WANT_STOP);
}

// --- frames that arrive

static const char *raise_credit(MuxChannel *channel, const uint8_t *payload)
{
    if (!mux_credit_raise(&channel->credit, mux_get64(payload)))
        return "credit that goes down or is beyond reason";
    mux_channel_schedule(channel);
    return NULL;
}

static const char *take_data(MuxChannel *channel, size_t size, MuxEvent *ret_event)
{
    MuxSession *session = channel->session;

    if (!mux_window_receive(&channel->window, &session->budget, size, session->now_us))
        return "data beyond the credit";
    if (channel->stopped) {
        (void)mux_window_consume(&channel->window, size);
        ret_event->type = MUX_EVENT_NONE;
    }
    return NULL;
}

static const char *take_return(MuxChannel *channel, const uint8_t *payload)
{
    if (!mux_window_returned(&channel->window, &channel->session->budget, mux_get64(payload)))
        return "RETURN of credit that was not reclaimed, or not there";
    mux_channel_want(channel, MUX_WANT_CREDIT);
    return NULL;
}

static void give_credit_back(MuxChannel *channel)
{
    channel->credit.limit = channel->credit.sent;
    mux_channel_want(channel, MUX_WANT_RETURN);
}

static bool count_reset(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    return mux_channel_ours(channel) || mux_bucket_take(&session->resets_in, session->now_us);
}

// What a frame does besides its step. Returns why it is against the protocol, or NULL.
static const char *apply(MuxChannel *channel, MuxChannelInput input, const MuxFrame *frame,
                         const uint8_t *payload, MuxEvent *event)
{
    switch (input) {
    case MUX_IN_ACCEPT:
        event->type = MUX_EVENT_ACCEPT;
        stop_if_stopped(channel);
        return raise_credit(channel, payload);
    case MUX_IN_DATA:
        event->type = MUX_EVENT_DATA;
        return take_data(channel, frame->length, event);
    case MUX_IN_FIN:
        event->type = MUX_EVENT_FIN;
        mux_window_finish(&channel->window, &channel->session->budget);
        return NULL;
    case MUX_IN_STOP:
        mux_channel_want(channel, MUX_WANT_FIN);
        event->type = MUX_EVENT_STOP;
        return NULL;
    case MUX_IN_RESET:
        event->type = MUX_EVENT_RESET;
        return count_reset(channel) ? NULL : RESET_STORM;
    case MUX_IN_CREDIT:
        return raise_credit(channel, payload);
    case MUX_IN_RECLAIM:
        give_credit_back(channel);
        return NULL;
    case MUX_IN_RETURN:
        return take_return(channel, payload);
    case MUX_DO_ACCEPT:
    case MUX_DO_FIN:
    case MUX_DO_RESET:
    case MUX_CHANNEL_INPUTS:
        break;
    }
    return NULL;
}

// Whether a frame that changes nothing here says that the peer has forgotten the channel.
static bool forgotten(const MuxChannel *channel, MuxFrameType type)
{
    return type == MUX_FRAME_RESET || (type == MUX_FRAME_FIN && channel->fin_out);
}

// The peer has forgotten the channel, and may open another one in its place: it must not count here
// any more, though a frame of it has yet to be sent. Nobody would read that frame. It counts as a
// reset all the same: what is refused at once would else be the way to a storm.
static const char *forget(MuxChannel *channel, MuxFrameType type)
{
    if (type == MUX_FRAME_RESET && !count_reset(channel))
        return RESET_STORM;
    unwant(channel, UINT8_MAX);
    mux_channel_sweep(channel);
    return NULL;
}

int mux_channel_receive(MuxChannel *channel, const MuxFrame *frame, const uint8_t *payload,
                        MuxEvent *ret_event, const char **ret_error)
{
    MuxChannelInput input = mux_channel_input(frame->type);
    MuxChannelState next;
    int r = mux_channel_step(channel->state, input, &next);

    if (channel->wants & MUX_WANT_OPEN) {
        *ret_error = "a frame of a channel that was never opened";
        return 1;
    }
    if (r == MUX_CHANNEL_IGNORE) {
        *ret_error = forgotten(channel, frame->type) ? forget(channel, frame->type) : NULL;
        return *ret_error ? 1 : 0;
    }
    if (r == MUX_CHANNEL_ERROR) {
        *ret_error = "a frame that the channel's state does not allow";
        return 1;
    }

    *ret_event = (MuxEvent){
        .channel = channel,
        .user = channel->user,
        .data = payload,
        .size = frame->length,
        .code = frame->type == MUX_FRAME_RESET ? mux_get32(payload) : 0,
    };
    enter(channel, next);
    const char *error = apply(channel, input, frame, payload, ret_event);
    if (error) {
        *ret_error = error;
        return 1;
    }
    if (channel->released)
        ret_event->type = MUX_EVENT_NONE;
    mux_channel_schedule(channel);
    mux_channel_sweep(channel);
    return 0;
}

// --- what its owner does

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
    enter(channel, next);
    stop_if_stopped(channel);
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
    enter(channel, next);
}

static bool receiving(const MuxChannel *channel)
{
    return channel->state == OPEN || channel->state == S_DONE;
}

void mux_channel_stop(MuxChannel *channel)
{
    if (channel->stopped)
        return;
    channel->stopped = true;
    if (receiving(channel))
        mux_channel_want(channel, MUX_WANT_STOP);
}

void mux_channel_consumed(MuxChannel *channel, size_t n)
{
    bool due = mux_window_consume(&channel->window, n);

    if (!receiving(channel))
        mux_window_finish(&channel->window, &channel->session->budget);
    else if (due && !channel->stopped)
        mux_channel_want(channel, MUX_WANT_CREDIT);
}

void mux_channel_reclaim(MuxChannel *channel)
{
    if (!receiving(channel))
        return;
    channel->window.reclaiming = true;
    mux_channel_want(channel, MUX_WANT_RECLAIM);
}

void mux_channel_close(MuxChannel *channel, MuxCode code)
{
    MuxChannelState next;

    assert(!channel->released);
    channel->released = true;
    channel->user = NULL;
    if (mux_channel_step(channel->state, MUX_DO_RESET, &next) == 0) {
        // The peer never heard of a channel whose OPEN is not out.
        if (channel->wants & MUX_WANT_OPEN)
            channel->wants = 0;
        else
            mux_channel_want(channel, MUX_WANT_RESET);
        channel->code = (uint8_t)code;
        enter(channel, next);
    } else if (channel->state == DEAD) {
        mux_list_remove(&channel->control);
    }
    mux_channel_sweep(channel);
}

void mux_channel_info(const MuxChannel *channel, MuxChannelInfo *ret_info)
{
    *ret_info = (MuxChannelInfo){
        .id = channel->entry.id,
        .state = state_names[channel->state],
        .ours = mux_channel_ours(channel),
        .sent = channel->credit.sent,
        .received = channel->window.received,
        .consumed = channel->window.consumed,
        .credit = mux_credit_left(&channel->credit),
        .window = channel->window.granted - channel->window.received,
    };
}
