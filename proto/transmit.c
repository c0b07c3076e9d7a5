// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames that go out. Nothing is queued as a frame: what has to be said is a bit, or a place in a
// list, and becomes a frame with the values of the moment when there is room in the batch. So a
// peer that never reads cannot make anything grow, and ten grants become one CREDIT.
//
// Order in a batch: HELLO; PING, PONG and ACK; control frames of channels; then data, for which the
// owner is asked channel by channel. Only data waits for credit; what is in flight holds up data
// and the RESETs of MUX_RESETS_BURST, so that a port that stood still cannot let loose more of them
// at once than the receiver takes for honest.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "limits.h"
#include "session-private.h"

// --- frames of one number

// False when there is no room.
static bool put64(MuxSession *session, MuxFrameType type, uint32_t channel, uint64_t value)
{
    if (mux_output_room(&session->output) < 8)
        return false;
    mux_put64(mux_output_payload(&session->output), value);
    mux_output_frame(&session->output, type, channel, 8);
    return true;
}

static bool put_empty(MuxSession *session, MuxFrameType type, uint32_t channel)
{
    if (mux_output_room(&session->output) == 0)
        return false;
    mux_output_frame(&session->output, type, channel, 0);
    return true;
}

static void put_session_frames(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    if (live->want_ping && put64(session, MUX_FRAME_PING, 0, live->nonce))
        live->want_ping = false;
    if (live->want_pong && put64(session, MUX_FRAME_PONG, 0, live->pong))
        live->want_pong = false;
    if (session->want_ack && put64(session, MUX_FRAME_ACK, 0, session->received))
        session->want_ack = false;
    mux_references_send(session);
    mux_notices_send(session);
}

// --- frames of a channel: each returns false when there is no room

static bool put_open(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    uint16_t length = (uint16_t)(MUX_NAME_AT + channel->opening_length);

    if (mux_output_room(&session->output) < length)
        return false;
    uint8_t *p = mux_output_payload(&session->output);
    mux_put64(p, channel->window.granted);
    mux_put32(p + MUX_NONCE_AT, channel->nonce);
    mux_put16(p + MUX_NAME_LENGTH_AT, channel->name_length);
    memcpy(p + MUX_NAME_AT, channel->opening, channel->opening_length);
    mux_output_frame(&session->output, MUX_FRAME_OPEN, channel->entry.id, length);

    free(channel->opening);
    channel->opening = NULL;
    channel->pending = true;
    session->unanswered++;
    return true;
}

static bool put_accept(MuxChannel *channel)
{
    MuxSession *session = channel->session;

    if (mux_output_room(&session->output) < MUX_ACCEPT_SIZE)
        return false;
    uint8_t *p = mux_output_payload(&session->output);
    mux_put64(p, channel->window.granted);
    mux_put32(p + MUX_NONCE_AT, channel->nonce);
    mux_output_frame(&session->output, MUX_FRAME_ACCEPT, channel->entry.id, MUX_ACCEPT_SIZE);
    return true;
}

static bool put_credit(MuxChannel *channel)
{
    MuxSession *session = channel->session;
    MuxWindow *victim;

    if (mux_output_room(&session->output) < 8)
        return false;
    bool moved = mux_window_grant(&channel->window, &session->budget, session->now_us, &victim);
    if (victim)
        mux_channel_reclaim(mux_container(victim, MuxChannel, window));
    return !moved || put64(session, MUX_FRAME_CREDIT, channel->entry.id, channel->window.granted);
}

static bool put_reset(MuxChannel *channel)
{
    MuxSession *session = channel->session;

    if (mux_output_room(&session->output) < 4)
        return false;
    mux_put32(mux_output_payload(&session->output), channel->code);
    mux_output_frame(&session->output, MUX_FRAME_RESET, channel->entry.id, 4);
    return true;
}

static bool put_one(MuxChannel *channel, uint8_t want)
{
    MuxSession *session = channel->session;
    uint32_t id = channel->entry.id;

    switch (want) {
    case MUX_WANT_OPEN:
        return put_open(channel);
    case MUX_WANT_ACCEPT:
        return put_accept(channel);
    case MUX_WANT_CREDIT:
        return put_credit(channel);
    case MUX_WANT_RETURN:
        return put64(session, MUX_FRAME_RETURN, id, channel->credit.limit);
    case MUX_WANT_RECLAIM:
        return put_empty(session, MUX_FRAME_RECLAIM, id);
    case MUX_WANT_STOP:
        return put_empty(session, MUX_FRAME_STOP, id);
    case MUX_WANT_FIN:
        return channel->fin_out = put_empty(session, MUX_FRAME_FIN, id);
    default:
        assert(want == MUX_WANT_RESET);
        return put_reset(channel);
    }
}

// Sends all that a channel wants, in the order of the bits: credit before FIN, RESET last. False
// when the batch is full. The channel may be gone afterwards.
static bool put_all(MuxChannel *channel)
{
    while (channel->wants) {
        uint8_t want = (uint8_t)(channel->wants & -channel->wants);
        if (!put_one(channel, want))
            return false;
        channel->wants &= (uint8_t)~want;
        mux_liveness_said(channel->session);
    }
    mux_list_remove(&channel->control);
    mux_channel_sweep(channel);
    return true;
}

static MuxChannel *first_of(const MuxList *list)
{
    MuxList *first = mux_list_first(list);
    return first ? mux_container(first, MuxChannel, control) : NULL;
}

// Most often there is nothing.
static bool anything_to_say(const MuxSession *session)
{
    const MuxLiveness *live = &session->liveness;

    return session->state != MUX_SESSION_UP || session->want_hello || live->want_ping ||
           live->want_pong || session->want_ack || session->in.giving > 0 ||
           !mux_list_empty(&session->notices) || !mux_list_empty(&session->urgent) ||
           !mux_list_empty(&session->resets) || !mux_list_empty(&session->opens);
}

void mux_transmit_control(MuxSession *session)
{
    MuxChannel *channel;

    if (!anything_to_say(session) || !mux_handshake_send(session))
        return;
    put_session_frames(session);
    while ((channel = first_of(&session->urgent)) && put_all(channel)) {
    }
    while (!mux_output_full(&session->output) && mux_output_room(&session->output) >= 4 &&
           (channel = first_of(&session->resets)) &&
           mux_bucket_take(&session->resets_out, session->now_us))
        (void)put_all(channel);
    while (session->unanswered < session->peer.pending && (channel = first_of(&session->opens)) &&
           put_all(channel)) {
    }
}

// --- data

static size_t least(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

// On a slow port a bulk transfer sends only when an ACK comes, so as long as one is due, it moves.
static bool bulk_moves(const MuxSession *session)
{
    return session->now_us - session->bulk_us <
           (session->output.n_asks > 0 ? MUX_BESIDE_US : MUX_BULK_US);
}

// A message is little, of a channel that was quiet, and all that there is of it, while another one
// moves a lot. It waits behind all that is in flight; so bulk transfers have less there while
// messages pass them.
static void tell_apart(MuxSession *session, const MuxChannel *channel, size_t n, bool more)
{
    if (n >= MUX_QUANTUM_MIN) {
        session->bulk = channel->entry.id;
        session->bulk_us = session->now_us;
    } else if (channel->share.ahead && !more && session->bulk != channel->entry.id &&
               bulk_moves(session)) {
        session->beside_us = session->now_us + MUX_BESIDE_US;
        mux_output_limit(&session->output, MUX_FLIGHT_BESIDE);
    }
}

static void end_beside(MuxSession *session)
{
    if (session->beside_us == 0)
        return;
    // Before there is as little in flight as there should be, nothing has come of it.
    if (mux_output_in_flight(&session->output) > 3 * MUX_FLIGHT_BESIDE)
        session->beside_us = session->now_us + MUX_BESIDE_US;
    if (session->now_us < session->beside_us)
        return;
    session->beside_us = 0;
    mux_output_limit(&session->output, MUX_FLIGHT_MAX);
}

bool mux_session_next_turn(MuxSession *session, MuxTurn *ret_turn)
{
    mux_transmit_control(session);
    size_t room = mux_output_room(&session->output);
    if (session->state != MUX_SESSION_UP || room < MUX_CRUMB || mux_output_full(&session->output))
        return false;

    MuxShare *share = mux_scheduler_next(&session->scheduler);
    if (!share)
        return false;

    MuxChannel *channel = mux_container(share, MuxChannel, share);
    if (mux_references_turn(session, channel, ret_turn))
        return true;
    size_t size = least(least(room, mux_scheduler_turn(&session->scheduler, share)),
                        mux_credit_left(&channel->credit));
    if (channel->most)
        size = least(size, channel->most);
    *ret_turn = (MuxTurn){channel, channel->user, mux_output_payload(&session->output), size,
                          MUX_SLOT_NONE};
    return true;
}

void mux_session_turn_done(MuxSession *session, const MuxTurn *turn, size_t n, bool more)
{
    MuxChannel *channel = turn->channel;

    assert(n <= turn->size);
    // Before the frame: it may be the last that can ask for the ACK which lets others go on.
    if (n > 0)
        tell_apart(session, channel, n, more);
    if (turn->slot != MUX_SLOT_NONE) {
        mux_references_sent(session, turn, n);
    } else if (n > 0) {
        mux_output_frame(&session->output, MUX_FRAME_DATA, channel->entry.id, (uint16_t)n);
        session->port_out += n;
    }
    // What a full turn leaves behind is more of the same; it starts anew where there was nothing.
    size_t run = more ? channel->run + n : n >= session->threshold ? n : 0;
    channel->run = (uint32_t)least(run, MUX_SLOT_MAX);
    if (n > 0) {
        channel->credit.sent += n;
        mux_liveness_said(session);
        mux_scheduler_sent(&session->scheduler, &channel->share, (uint32_t)n);
    }
    channel->ready = more;
    mux_channel_schedule(channel);
}

size_t mux_session_output(MuxSession *session, const uint8_t **ret_base)
{
    if (session->state == MUX_SESSION_DOWN)
        return 0;
    mux_transmit_control(session);
    return mux_output_pending(&session->output, ret_base);
}

void mux_session_output_done(MuxSession *session, size_t n)
{
    mux_output_written(&session->output, n);
}

// --- time

void mux_session_tick(MuxSession *session, uint64_t now_us)
{
    session->now_us = now_us;
    end_beside(session);
    mux_liveness_tick(session);
}

uint64_t mux_session_deadline(const MuxSession *session)
{
    // Resets that wait for the bucket, and not for an ACK, go out a hundred at a time.
    if (session->state == MUX_SESSION_UP && session->resets_out.tokens == 0 &&
        !mux_list_empty(&session->resets) && !mux_output_full(&session->output))
        return session->now_us + 100 * 1000000u / MUX_RESETS_PER_SECOND;
    return least(mux_liveness_deadline(session), mux_references_deadline(session));
}
