// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How two ends that know nothing of each other's past agree on a session.
//
// Each sends HELLO with its new id, and another one for each new id that it hears, echoing that. An
// end is up when its own id is echoed, because that HELLO, and so everything behind it in the pipe,
// was written after ours was read: nothing of an earlier life can follow.
//
// The pipe loses bytes only when one end of it is closed, and whoever opens it again says HELLO
// then. But a guest that is restored to an earlier state may wait for a HELLO that it had already
// read in the life that was undone, or have forgotten one to which the host waits for the answer.
// So an end that is not up after a pause (liveness.c) says its greeting anew, zeros and all; a peer
// that took itself for up learns by that that it is not.

#include "session-private.h"

#include "limits.h"

static uint16_t agreed_version(const MuxHello *hello)
{
    uint16_t version = hello->version_max < MUX_VERSION_MAX ? hello->version_max : MUX_VERSION_MAX;
    return version >= MUX_VERSION_MIN && version >= hello->version_min ? version : 0;
}

// Why no session can be agreed on with this one, or NULL.
static const char *objection(const MuxSession *session, const MuxHello *untrusted_hello)
{
    if (untrusted_hello->id == session->id)
        return "the port gives back what is written to it";
    if (untrusted_hello->role != (session->role == MUX_GUEST ? MUX_HOST : MUX_GUEST))
        return "the other end has the same role: guestmux must face hostmux";
    if (!agreed_version(untrusted_hello))
        return "the other end has no protocol version in common with this one";
    return NULL;
}

static void go_up(MuxSession *session, const MuxHello *hello)
{
    uint64_t guest = session->role == MUX_GUEST ? session->id : hello->id;
    uint64_t host = session->role == MUX_GUEST ? hello->id : session->id;

    session->state = MUX_SESSION_UP;
    session->peer_id = hello->id;
    session->peer = *hello;
    session->version = agreed_version(hello);
    session->features = hello->features & MUX_FEATURES & ~session->limits.without;
    session->sessions++;
    mux_output_begin(&session->output, mux_frame_key(guest, host));
}

bool mux_handshake_receive(MuxSession *session, const MuxHello *untrusted_hello,
                           MuxEvent *ret_event)
{
    const char *why = objection(session, untrusted_hello);
    if (why) {
        *ret_event = (MuxEvent){.type = MUX_EVENT_REJECT, .detail = why};
        return true;
    }
    if (untrusted_hello->id != session->answered) {
        session->answered = untrusted_hello->id;
        session->want_hello = true;
    }
    if (untrusted_hello->echo != session->id)
        return false;
    go_up(session, untrusted_hello);
    *ret_event = (MuxEvent){.type = MUX_EVENT_UP};
    return true;
}

void mux_handshake_again(MuxSession *session)
{
    const uint8_t *base;

    // While the port takes nothing, one greeting waits, not one for each time.
    if (session->want_hello || mux_output_pending(&session->output, &base) > 0)
        return;
    mux_output_restart(&session->output);
    session->want_hello = true;
}

bool mux_handshake_send(MuxSession *session)
{
    uint8_t base[MUX_HELLO_SIZE];

    if (session->want_hello) {
        mux_hello_encode(base, &(MuxHello){.version_min = MUX_VERSION_MIN,
                                           .version_max = MUX_VERSION_MAX,
                                           .role = (uint8_t)session->role,
                                           .id = session->id,
                                           .echo = session->answered,
                                           .features = MUX_FEATURES & ~session->limits.without,
                                           .channels = session->limits.channels,
                                           .pending = session->limits.pending});
        if (mux_output_hello(&session->output, base))
            session->want_hello = false;
    }
    return !session->want_hello && session->state == MUX_SESSION_UP;
}
