// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Is the peer there? After a silence it is asked, and if it does not answer it is marked, no more:
// a VM that is paused, migrated or stopped in a debugger looks the same as a dead one, and comes
// back.
//
// What was sent for a channel is to be followed by something from the peer; if not, it is asked
// soon. Before the session is up, greetings are what is repeated (handshake.c).

#include "session-private.h"

#include "limits.h"

void mux_liveness_start(MuxSession *session)
{
    session->liveness = (MuxLiveness){
        .heard_us = session->now_us, .asked_us = session->now_us, .greet_us = MUX_GREET_US};
}

void mux_liveness_heard(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    live->heard_us = session->now_us;
    live->said = false;
    if (live->silent) {
        live->silent = false;
        live->tell = true;
    }
}

void mux_liveness_said(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    if (!live->said)
        live->said_us = session->now_us;
    live->said = true;
}

void mux_liveness_pong(MuxSession *session, uint64_t untrusted_nonce)
{
    MuxLiveness *live = &session->liveness;

    if (!live->asking || untrusted_nonce != live->nonce)
        return;
    live->asking = false;
    live->rtt_us = session->now_us - live->asked_us;
}

uint64_t mux_liveness_deadline(const MuxSession *session)
{
    const MuxLiveness *live = &session->liveness;

    if (session->state == MUX_SESSION_GREETING)
        return live->asked_us + live->greet_us;
    if (session->state == MUX_SESSION_DOWN || live->silent)
        return UINT64_MAX;
    if (live->asking)
        return live->asked_us + MUX_PING_US;
    uint64_t soon = live->said ? live->said_us + MUX_PING_SOON_US : UINT64_MAX;
    uint64_t late = live->heard_us + MUX_PING_US;
    return soon < late ? soon : late;
}

void mux_liveness_tick(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    if (session->now_us < mux_liveness_deadline(session))
        return;
    if (session->state == MUX_SESSION_GREETING) {
        live->asked_us = session->now_us;
        live->greet_us = live->greet_us < MUX_PING_US / 2 ? live->greet_us * 2 : MUX_PING_US;
        mux_handshake_again(session);
    } else if (!live->asking) {
        live->asking = live->want_ping = true;
        live->nonce++;
        live->asked_us = session->now_us;
    } else if (live->heard_us < live->asked_us) {
        live->silent = live->tell = true;
        live->silences++;
    } else {
        live->asking = false; // it was heard, though not with an answer
    }
}

bool mux_liveness_event(MuxSession *session, MuxEvent *ret_event)
{
    MuxLiveness *live = &session->liveness;

    if (!live->tell || session->state != MUX_SESSION_UP)
        return false;
    live->tell = false;
    *ret_event = (MuxEvent){.type = live->silent ? MUX_EVENT_SILENT : MUX_EVENT_HEARD};
    return true;
}
