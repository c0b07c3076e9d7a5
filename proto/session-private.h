// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a session is made of. session.c begins and ends it, handshake.c agrees on it, receive.c
// takes its frames apart, events.c tells its owner, transmit.c puts frames together, liveness.c
// asks whether the peer is there.
#pragma once

#include "bucket.h"
#include "channel.h"
#include "input.h"
#include "output.h"

typedef enum MuxSessionState {
    MUX_SESSION_DOWN,     // not started, or ended
    MUX_SESSION_GREETING, // the port is there; no HELLO has echoed our id
    MUX_SESSION_UP,
} MuxSessionState;

typedef struct MuxLiveness {
    uint64_t heard_us; // when the port last gave a byte
    uint64_t asked_us; // when the last PING was sent; before the session is up, the last HELLO
    uint64_t nonce;    // that it carried
    uint64_t rtt_us;
    uint64_t silences;
    uint64_t said_us;  // when a frame of a channel was first sent since the peer was heard
    uint64_t greet_us; // the pause before the next greeting
    bool said;
    bool asking;    // a PING is not yet answered
    bool want_ping; // …is to be sent
    bool want_pong;
    bool silent;   // the peer did not answer in time
    bool tell;     // silent changed; an event is due
    uint64_t pong; // the newest nonce to answer with: a flood is answered once
} MuxLiveness;

struct MuxSession {
    MuxRole role;
    MuxLimits limits;
    MuxSessionState state;
    uint64_t now_us;

    uint64_t id, peer_id;
    uint64_t answered; // the peer id that our last HELLO echoed
    bool want_hello;
    MuxHello peer; // what it said
    uint16_t version;
    uint32_t features;

    MuxInput input;
    MuxOutput output;
    uint32_t sequence;  // of the next frame that has to arrive
    uint64_t received;  // bytes of the peer's frames
    bool want_ack;      // it asked how many
    uint32_t bulk;      // the channel that was last to send a lot; 0: none was
    uint64_t bulk_us;   // when it did
    uint64_t beside_us; // until then others are expected to send a little; 0: they are not

    MuxTable channels;
    MuxBudget budget;
    MuxScheduler scheduler;
    uint32_t next_id;    // that we open
    uint32_t peer_last;  // greatest id that the peer opened
    uint32_t ours;       // channels in the table that we opened
    uint32_t own;        // …of those, to names of mux_name_own()
    uint32_t theirs;     // …that the peer opened
    uint32_t alive;      // channels, also those that are closed and whose reader is not done
    uint32_t unanswered; // ours: OPEN was sent and not answered
    uint32_t unserved;   // theirs: not yet answered by us

    MuxList urgent; // channels with frames to send
    MuxList opens;  // …whose OPEN waits until fewer are unanswered
    MuxList resets; // …whose RESET waits for the bucket
    MuxList dead;   // …whose owner is to be told that they are dead
    MuxBucket resets_out, resets_in;

    MuxSlots out, in;               // of the region that we write, and of the peer's
    uint32_t threshold;             // bytes from which on `out` is used
    uint64_t give_us;               // when the first slot was to be given back
    uint64_t shared_out, shared_in; // bytes of channels that went through the regions
    uint64_t port_out, port_in;     // …and over the port
    MuxList notices;                // that wait to be sent

    MuxLiveness liveness;

    MuxNotice notice; // that is being told
    MuxCaller caller; // of the OPEN that is being told
    MuxReason reason; // a DOWN event is due
    const char *detail;
    uint64_t sessions, lost_steps;
};

// How many channels may be alive: as many as both ends may open.
static inline uint32_t mux_session_most_alive(const MuxSession *session)
{
    return session->limits.channels * 2;
}

// Whether somebody beside the bulk transfers waits for messages.
static inline bool mux_session_beside(const MuxSession *session)
{
    return session->beside_us != 0;
}

// Ends the session: all channels die, and DOWN is told after them.
void mux_session_fail(MuxSession *session, MuxReason reason, const char *detail);

// handshake.c: a HELLO was found. True when an event came of it.
bool mux_handshake_receive(MuxSession *session, const MuxHello *hello, MuxEvent *ret_event);
// Whether a HELLO went into the batch, if one was due, and frames may follow.
bool mux_handshake_send(MuxSession *session);
// Not up for too long: greets anew, under the same id.
void mux_handshake_again(MuxSession *session);

// receive.c: takes the next frame. True when an event came of it, false when no whole frame is
// there or the session failed.
bool mux_receive_next(MuxSession *session, MuxEvent *ret_event);

// references.c: the regions end with the session.
void mux_references_end(MuxSession *session);
// A turn in a slot, if the channel's bytes are to go that way and there is one.
bool mux_references_turn(MuxSession *session, MuxChannel *channel, MuxTurn *ret_turn);
// `n` bytes are in the turn's slot.
void mux_references_sent(MuxSession *session, const MuxTurn *turn, size_t n);
// Puts what is to be given back into the batch, if it is time to.
void mux_references_send(MuxSession *session);
uint64_t mux_references_deadline(const MuxSession *session);
// These return why what came is against the protocol, or NULL.
const char *mux_references_receive(MuxSession *session, const MuxFrame *frame,
                                   const uint8_t *payload, MuxEvent *ret_event);
const char *mux_references_returned(MuxSession *session, const MuxFrame *frame,
                                    const uint8_t *payload);

// notice.c
void mux_notices_send(MuxSession *session);
void mux_notices_receive(MuxSession *session, const uint8_t *payload, MuxEvent *ret_event);

// receive.c: bytes for a channel, in a slot or not; the event is NONE if its owner gets none.
const char *mux_receive_for_channel(MuxSession *session, uint32_t id, MuxFrameType type,
                                    const uint8_t *payload, size_t size, MuxEvent *ret_event);

// transmit.c: fills the batch with everything but data.
void mux_transmit_control(MuxSession *session);

// liveness.c
void mux_liveness_start(MuxSession *session);
void mux_liveness_heard(MuxSession *session);
// A frame of a channel was sent.
void mux_liveness_said(MuxSession *session);
void mux_liveness_tick(MuxSession *session);
uint64_t mux_liveness_deadline(const MuxSession *session);
void mux_liveness_pong(MuxSession *session, uint64_t untrusted_nonce);
// True when SILENT or HEARD is due.
bool mux_liveness_event(MuxSession *session, MuxEvent *ret_event);
