// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames that arrive for a channel: the state table says whether they may, and what follows is
// here.

#include "bytes.h"
#include "channel.h"
#include "session-private.h"

#define RESET_STORM "resets in a storm"

static const char *raise_credit(MuxChannel *channel, const uint8_t *payload)
{
    if (!mux_credit_raise(&channel->credit, mux_get64(payload)))
        return "credit that goes down or is beyond reason";
    mux_channel_schedule(channel);
    return NULL;
}

// The answer may be to an OPEN that was undone: a guest that was rolled back gives out the same ids
// again, and until one of its frames arrives the host's sequence numbers still fit.
static const char *take_accept(MuxChannel *channel, const uint8_t *payload)
{
    if (mux_get32(payload + MUX_NONCE_AT) != channel->nonce)
        return "ACCEPT of another OPEN";
    mux_channel_stop_if_deaf(channel);
    return raise_credit(channel, payload);
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
    mux_channel_schedule(channel);
}

static bool count_reset(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    return mux_channel_ours(channel) || mux_bucket_take(&session->resets_in, session->now_us);
}

// What a frame does besides its step. Returns why it is against the protocol, or NULL.
static const char *apply(MuxChannel *channel, MuxChannelInput input, const uint8_t *payload,
                         size_t size, MuxEvent *event)
{
    switch (input) {
    case MUX_IN_ACCEPT:
        event->type = MUX_EVENT_ACCEPT;
        return take_accept(channel, payload);
    case MUX_IN_DATA:
        event->type = MUX_EVENT_DATA;
        return take_data(channel, size, event);
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
    mux_channel_unwant(channel, UINT8_MAX);
    mux_channel_sweep(channel);
    return NULL;
}

int mux_channel_receive(MuxChannel *channel, MuxFrameType type, const uint8_t *payload, size_t size,
                        MuxEvent *ret_event, const char **ret_error)
{
    MuxChannelInput input = mux_channel_input(type);
    MuxChannelState next;
    int r = mux_channel_step(channel->state, input, &next);

    if (channel->wants & MUX_WANT_OPEN) {
        *ret_error = "a frame of a channel that was never opened";
        return 1;
    }
    if (r == MUX_CHANNEL_IGNORE) {
        *ret_error = forgotten(channel, type) ? forget(channel, type) : NULL;
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
        .size = size,
        .code = type == MUX_FRAME_RESET ? mux_get32(payload) : 0,
    };
    if (next != (MuxChannelState)channel->state)
        mux_channel_enter(channel, next);
    const char *error = apply(channel, input, payload, size, ret_event);
    if (error) {
        *ret_error = error;
        return 1;
    }
    if (channel->released)
        ret_event->type = MUX_EVENT_NONE;
    mux_channel_sweep(channel);
    return 0;
}
