// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames that arrive in a session that is up: those of the session itself, opens, and those of
// channels, which are channel.c's. Everything that a peer may not do ends the session here, with a
// reason.

#include <string.h>

#include "bytes.h"
#include "limits.h"
#include "session-private.h"

static const char *receive_ping(MuxSession *session, const uint8_t *payload)
{
    session->liveness.pong = mux_get64(payload);
    session->liveness.want_pong = true;
    return NULL;
}

static const char *receive_ack(MuxSession *session, const uint8_t *payload)
{
    // A bulk transfer that waited for this moves; a message that did, too, passes it.
    if (mux_output_full(&session->output))
        session->bulk_us = session->now_us;
    return mux_output_acked(&session->output, mux_get64(payload))
               ? NULL
               : "ACK that goes back, or of bytes that were not sent";
}

static const char *receive_open(MuxSession *session, const MuxFrame *frame, const uint8_t *payload,
                                MuxEvent *ret_event)
{
    uint64_t untrusted_credit = mux_get64(payload);
    uint16_t untrusted_length = mux_get16(payload + MUX_NAME_LENGTH_AT);
    const uint8_t *untrusted_name = payload + MUX_NAME_AT;
    bool odd = frame->channel % 2 == 1;
    MuxCredit credit = {0};
    size_t service;

    if (odd == (session->role == MUX_GUEST) || frame->channel <= session->peer_last)
        return "OPEN of an id that is not the peer's to open, or was used before";
    if (session->theirs >= session->limits.channels)
        return "more channels than the limit";
    if (session->unserved >= session->limits.pending)
        return "more opens to be answered than the limit";
    if (untrusted_length > frame->length - MUX_NAME_AT)
        return "OPEN with a name longer than the frame";
    if (!mux_name_valid((const char *)untrusted_name, untrusted_length, &service) &&
        !mux_name_own((const char *)untrusted_name, untrusted_length))
        return "OPEN with a name that is none";
    if (mux_caller_decode(untrusted_name + untrusted_length,
                          (size_t)(frame->length - MUX_NAME_AT - untrusted_length),
                          &session->caller) != 0)
        return "OPEN with attributes longer than the frame";
    if (!mux_credit_raise(&credit, untrusted_credit))
        return "OPEN with a credit beyond reason";

    MuxChannel *channel = mux_channel_new(session, frame->channel, MUX_CHANNEL_ASKED);
    if (!channel) {
        mux_session_fail(session, MUX_REASON_MEMORY, "no memory for a channel");
        return NULL;
    }
    session->peer_last = frame->channel;
    channel->credit = credit;
    channel->nonce = mux_get32(payload + MUX_NONCE_AT);
    if (session->alive > mux_session_most_alive(session)) {
        mux_channel_close(channel, MUX_CODE_LIMIT);
        return NULL;
    }
    *ret_event = (MuxEvent){.type = MUX_EVENT_OPEN,
                            .channel = channel,
                            .data = untrusted_name,
                            .size = untrusted_length,
                            .caller = &session->caller};
    return NULL;
}

static bool was_opened(const MuxSession *session, uint32_t id)
{
    bool by_guest = id % 2 == 1;
    return by_guest == (session->role == MUX_GUEST) ? id < session->next_id
                                                    : id <= session->peer_last;
}

const char *mux_receive_for_channel(MuxSession *session, uint32_t id, MuxFrameType type,
                                    const uint8_t *payload, size_t size, MuxEvent *ret_event)
{
    MuxEntry *entry = mux_table_find(&session->channels, id);
    const char *error = NULL;

    if (!entry) // late frames of a channel that is gone are to be expected
        return was_opened(session, id) ? NULL : "a frame of a channel that was never opened";
    (void)mux_channel_receive(mux_container(entry, MuxChannel, entry), type, payload, size,
                              ret_event, &error);
    return error;
}

static const char *receive_memory(MuxSession *session, const MuxFrame *frame,
                                  const uint8_t *payload, MuxEvent *ret_event)
{
    if (!(session->features & MUX_FEATURE_MEMORY))
        return "a frame of a feature that was not agreed on";
    if (frame->type == MUX_FRAME_REF)
        return mux_references_receive(session, frame, payload, ret_event);
    if (frame->type == MUX_FRAME_GIVE)
        return mux_references_returned(session, frame, payload);
    mux_notices_receive(session, payload, ret_event);
    return NULL;
}

static const char *dispatch(MuxSession *session, const MuxFrame *frame, const uint8_t *payload,
                            MuxEvent *ret_event)
{
    switch (frame->type) {
    case MUX_FRAME_PING:
        return receive_ping(session, payload);
    case MUX_FRAME_PONG:
        mux_liveness_pong(session, mux_get64(payload));
        return NULL;
    case MUX_FRAME_ACK:
        return receive_ack(session, payload);
    case MUX_FRAME_OPEN:
        return receive_open(session, frame, payload, ret_event);
    case MUX_FRAME_DATA:
        session->port_in += frame->length;
        return mux_receive_for_channel(session, frame->channel, frame->type, payload, frame->length,
                                       ret_event);
    case MUX_FRAME_ACCEPT:
    case MUX_FRAME_FIN:
    case MUX_FRAME_STOP:
    case MUX_FRAME_RESET:
    case MUX_FRAME_CREDIT:
    case MUX_FRAME_RECLAIM:
    case MUX_FRAME_RETURN:
        return mux_receive_for_channel(session, frame->channel, frame->type, payload, frame->length,
                                       ret_event);
    case MUX_FRAME_REF:
    case MUX_FRAME_GIVE:
    case MUX_FRAME_NOTICE:
        return receive_memory(session, frame, payload, ret_event);
    case MUX_FRAME_HELLO: // never comes out of mux_input_frame()
    case MUX_FRAME_TYPES:
        break;
    }
    return "a frame of no type";
}

bool mux_receive_next(MuxSession *session, MuxEvent *ret_event)
{
    MuxFrame frame;
    const uint8_t *payload;

    while (session->state == MUX_SESSION_UP) {
        switch (mux_input_frame(&session->input, session->output.key, session->sequence, &frame,
                                &payload)) {
        case 0:
            break;
        case MUX_INPUT_MORE:
            return false;
        case MUX_INPUT_ANEW:
            mux_session_fail(session, MUX_REASON_PEER, NULL);
            return false;
        default:
            mux_session_fail(session, MUX_REASON_STEP, NULL);
            return false;
        }
        session->sequence++;
        session->received += mux_frame_size(frame.length);
        session->want_ack |= frame.ask;

        const char *error = dispatch(session, &frame, payload, ret_event);
        if (error) {
            *ret_event = (MuxEvent){.type = MUX_EVENT_NONE};
            mux_session_fail(session, MUX_REASON_PROTOCOL, error);
            return false;
        }
        if (ret_event->type != MUX_EVENT_NONE)
            return true;
    }
    return false;
}
