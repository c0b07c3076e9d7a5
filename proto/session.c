// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A session's beginning and end. It is DOWN until started, GREETING until a HELLO echoes our id, UP
// until anything at all goes wrong; then every channel dies, their owners are told one by one, then
// DOWN is told, and the owner starts it anew. There is no half-way recovery: a stream that lost a
// byte has no place to go on from.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "session-private.h"

static MuxLimits with_defaults(const MuxLimits *limits)
{
    MuxLimits l = limits ? *limits : (MuxLimits){0};
    if (l.channels == 0)
        l.channels = MUX_CHANNELS_DEFAULT;
    if (l.pending == 0)
        l.pending = l.channels < MUX_PENDING_DEFAULT ? l.channels : MUX_PENDING_DEFAULT;
    if (l.budget == 0)
        l.budget = MUX_BUDGET_DEFAULT;
    uint64_t least = (uint64_t)l.channels * MUX_BUDGET_LEAST;
    if (l.budget < least)
        l.budget = least;
    return l;
}

int mux_session_new(MuxRole role, const MuxLimits *limits, MuxSession **ret_session)
{
    MuxSession *session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;

    session->role = role;
    session->limits = with_defaults(limits);
    mux_scheduler_init(&session->scheduler);
    mux_budget_init(&session->budget, session->limits.budget, mux_session_most_alive(session));
    mux_list_init(&session->urgent);
    mux_list_init(&session->opens);
    mux_list_init(&session->resets);
    mux_list_init(&session->dead);
    mux_list_init(&session->notices);
    session->threshold = MUX_NEVER;
    if (mux_input_init(&session->input) < 0 || mux_output_init(&session->output) < 0 ||
        mux_table_init(&session->channels, session->limits.seed) < 0) {
        mux_session_free(session);
        return -ENOMEM;
    }
    *ret_session = session;
    return 0;
}

// All channels die. The table is emptied as a whole, since a walk cannot bear removals.
static void kill_channels(MuxSession *session)
{
    MuxEntry *entry = mux_table_next(&session->channels, NULL);
    while (entry) {
        MuxChannel *channel = mux_container(entry, MuxChannel, entry);
        entry = mux_table_next(&session->channels, entry);
        channel->listed = false;
        mux_channel_kill(channel);
    }
    mux_table_clear(&session->channels);
    session->ours = session->theirs = session->own = 0;
}

MuxSession *mux_session_free(MuxSession *session)
{
    if (!session)
        return NULL;
    if (session->channels.buckets)
        kill_channels(session);
    mux_input_deinit(&session->input);
    mux_output_deinit(&session->output);
    mux_table_deinit(&session->channels);
    mux_references_end(session);
    free(session);
    return NULL;
}

void mux_session_start(MuxSession *session, uint64_t id, uint64_t now_us)
{
    session->state = MUX_SESSION_GREETING;
    session->now_us = now_us;
    session->id = id;
    session->peer_id = session->answered = 0;
    session->want_hello = true;
    session->next_id = session->role == MUX_GUEST ? 1 : 2;
    session->peer_last = 0;
    session->sequence = 1;
    session->received = 0;
    session->want_ack = false;
    session->bulk = 0;
    session->bulk_us = 0;
    session->beside_us = 0;
    mux_output_limit(&session->output, MUX_FLIGHT_MAX);
    mux_output_restart(&session->output);
    mux_bucket_init(&session->resets_out, MUX_RESETS_BURST, MUX_RESETS_PER_SECOND, now_us);
    mux_bucket_init(&session->resets_in, MUX_RESETS_BURST_IN, MUX_RESETS_PER_SECOND_IN, now_us);
    mux_liveness_start(session);
}

void mux_session_fail(MuxSession *session, MuxReason reason, const char *detail)
{
    if (session->state == MUX_SESSION_UP) {
        session->reason = reason;
        session->detail = detail;
        session->lost_steps += reason == MUX_REASON_STEP;
        kill_channels(session);
        mux_references_end(session);
    }
    session->state = MUX_SESSION_DOWN;
    session->want_hello = false;
}

void mux_session_stop(MuxSession *session)
{
    mux_session_fail(session, MUX_REASON_PORT, NULL);
    mux_input_clear(&session->input);
}

bool mux_session_is_up(const MuxSession *session)
{
    return session->state == MUX_SESSION_UP;
}

bool mux_session_is_started(const MuxSession *session)
{
    return session->state != MUX_SESSION_DOWN;
}

size_t mux_session_input(MuxSession *session, uint8_t **ret_base)
{
    return mux_input_space(&session->input, ret_base);
}

void mux_session_input_done(MuxSession *session, size_t n, uint64_t now_us)
{
    session->now_us = now_us;
    mux_input_filled(&session->input, n);
    if (n > 0)
        mux_liveness_heard(session);
}

void mux_session_info(const MuxSession *session, MuxSessionInfo *ret_info)
{
    static const char *const names[] = {
        [MUX_SESSION_DOWN] = "down", [MUX_SESSION_GREETING] = "greeting", [MUX_SESSION_UP] = "up"};
    const MuxBudget *budget = &session->budget;

    *ret_info = (MuxSessionInfo){
        .state = names[session->state],
        .id = session->id,
        .peer_id = session->peer_id,
        .version = session->version,
        .features = session->features,
        .channels = session->channels.count,
        .sent = session->output.sent,
        .received = session->received,
        .in_flight = mux_output_in_flight(&session->output),
        .budget = session->limits.budget,
        .budget_used = budget->used + (uint64_t)session->alive * budget->floor,
        .sessions = session->sessions,
        .lost_steps = session->lost_steps,
        .silences = session->liveness.silences,
        .rtt_us = session->liveness.rtt_us,
        .silent = session->liveness.silent,
    };
}
