// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Is the peer there? After a silence it is asked, and if it does not answer it is marked, no more:
// a VM that is paused, migrated or stopped in a debugger looks the same as a dead one, and comes
// back.
//
// Before the session is up the same time passes between two HELLOs (handshake.c).

#include "session-private.h"

#include "limits.h"

void mux_liveness_start(MuxSession *session)
{
    session->liveness = (MuxLiveness){.heard_us = session->now_us, .asked_us = session->now_us};
}

void mux_liveness_heard(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    live->heard_us = session->now_us;
    if (live->silent) {
        live->silent = false;
        live->tell = true;
    }
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
        return live->asked_us + MUX_PING_US;
    if (session->state == MUX_SESSION_DOWN || live->silent)
        return UINT64_MAX;
    return (live->asking ? live->asked_us : live->heard_us) + MUX_PING_US;
}

void mux_liveness_tick(MuxSession *session)
{
    MuxLiveness *live = &session->liveness;

    if (session->now_us < mux_liveness_deadline(session))
        return;
    if (session->state == MUX_SESSION_GREETING) {
        live->asked_us = session->now_us;
        mux_handshake_again(session);
    } else if (!live->asking) {
        live->asking = live->want_ping = true;
        live->nonce++;
        live->asked_us = session->now_us;
    } else if (live->heard_us < live->asked_us) {
        live->silent = live->tell = true;
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
