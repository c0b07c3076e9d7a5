// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the owner is told, in order: the deaths of channels and of their session, whether the peer
// is heard, and then what the bytes of the port make.

#include "session-private.h"

static bool tell_death(MuxSession *session, MuxEvent *ret_event)
{
    MuxList *first = mux_list_first(&session->dead);
    if (first) {
        MuxChannel *channel = mux_container(first, MuxChannel, control);
        mux_list_remove(first);
        *ret_event = (MuxEvent){.type = MUX_EVENT_RESET,
                                .channel = channel,
                                .user = channel->user,
                                .code = channel->code};
        return true;
    }
    if (session->reason == MUX_REASON_NONE)
        return false;
    *ret_event =
        (MuxEvent){.type = MUX_EVENT_DOWN, .reason = session->reason, .detail = session->detail};
    session->reason = MUX_REASON_NONE;
    return true;
}

bool mux_session_next_event(MuxSession *session, MuxEvent *ret_event)
{
    MuxHello hello;

    *ret_event = (MuxEvent){.type = MUX_EVENT_NONE};
    if (tell_death(session, ret_event) || mux_liveness_event(session, ret_event))
        return true;
    while (session->state == MUX_SESSION_GREETING) {
        if (mux_input_hello(&session->input, &hello) != 0)
            return false;
        if (mux_handshake_receive(session, &hello, ret_event))
            return true;
    }
    if (session->state == MUX_SESSION_UP && mux_receive_next(session, ret_event))
        return true;
    // What was just received may have ended the session.
    return session->state == MUX_SESSION_DOWN && tell_death(session, ret_event);
}
