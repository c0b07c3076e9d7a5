// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Notices. Each is its owner's, and stands in the session's list from when it is due until it is in
// a batch, with the values of that moment: ten that are made while the port is busy become one. As
// data they wait while much is in flight, so however fast they are made, the peer gets no more than
// it reads.

#include "bytes.h"
#include "limits.h"
#include "session-private.h"

void mux_notice_init(MuxNotice *notice, uint64_t id)
{
    *notice = (MuxNotice){.id = id};
    mux_list_init(&notice->node);
}

void mux_notice_deinit(MuxNotice *notice)
{
    mux_list_remove(&notice->node);
}

void mux_session_notify(MuxSession *session, MuxNotice *notice)
{
    if (session->features & MUX_FEATURE_MEMORY && session->state == MUX_SESSION_UP &&
        mux_list_empty(&notice->node))
        mux_list_append(&session->notices, &notice->node);
}

void mux_notices_send(MuxSession *session)
{
    MuxList *first;

    while ((first = mux_list_first(&session->notices)) && !mux_output_full(&session->output) &&
           mux_output_room(&session->output) >= MUX_NOTICE_SIZE) {
        const MuxNotice *notice = mux_container(first, MuxNotice, node);
        uint8_t *p = mux_output_payload(&session->output);
        mux_put64(p, notice->id);
        mux_put64(p + 8, notice->sequence);
        mux_put64(p + 16, notice->offset);
        mux_put64(p + 24, notice->length);
        mux_output_frame(&session->output, MUX_FRAME_NOTICE, 0, MUX_NOTICE_SIZE);
        mux_list_remove(first);
    }
}

void mux_notices_receive(MuxSession *session, const uint8_t *payload, MuxEvent *ret_event)
{
    session->notice = (MuxNotice){.id = mux_get64(payload),
                                  .sequence = mux_get64(payload + 8),
                                  .offset = mux_get64(payload + 16),
                                  .length = mux_get64(payload + 24)};
    *ret_event = (MuxEvent){.type = MUX_EVENT_NOTICE, .notice = &session->notice};
}
