// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define insist(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

void owner_init(Owner *owner, MuxRole role, const MuxLimits *limits)
{
    *owner = (Owner){.role = role};
    if (mux_session_new(role, limits, &owner->session) != 0)
        abort();
}

static void close_place(Place *place, MuxCode code)
{
    MuxChannel *mux = place->mux;
    *place = (Place){0};
    if (mux)
        mux_channel_close(mux, code);
}

void owner_deinit(Owner *owner)
{
    for (size_t i = 0; i < OWNER_CHANNELS; i++)
        close_place(&owner->places[i], MUX_CODE_CLOSED);
    mux_session_free(owner->session);
}

static Place *vacant(Owner *owner)
{
    for (size_t i = 0; i < OWNER_CHANNELS; i++)
        if (!owner->places[i].mux)
            return &owner->places[i];
    return NULL;
}

static void accept_place(Place *place)
{
    mux_channel_accept(place->mux, place);
    place->open = true;
}

static void read_place(Place *place)
{
    uint64_t n = place->unread;
    place->unread = 0;
    mux_channel_consumed(place->mux, (size_t)n);
}

// --- events
// ---------------------------------------------------------------------------------------

static void on_open(Owner *owner, const MuxEvent *event)
{
    Place *place = vacant(owner);
    size_t service;

    insist(owner->up && event->channel && !event->user);
    insist(mux_name_valid((const char *)event->data, event->size, &service));
    if (!place) {
        mux_channel_close(event->channel, MUX_CODE_LIMIT);
        return;
    }
    place->mux = event->channel;
    mux_channel_set_user(event->channel, place);
    owner->manner = owner->manner * 1103515245u + 12345u;
    if (owner->manner >> 16 & 1)
        accept_place(place);
    else if (owner->manner >> 17 & 1)
        close_place(place, MUX_CODE_REFUSED);
}

static unsigned sum_of(const uint8_t *bytes, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

static void on_data(Owner *owner, Place *place, const MuxEvent *event)
{
    insist(place->open && !place->fin_got && !place->stopped && event->size > 0);
    owner->manner += sum_of(event->data, event->size); // each byte is there to be read
    place->unread += event->size;
    if (owner->manner % 2)
        read_place(place);
}

static void on_channel_event(Owner *owner, const MuxEvent *event)
{
    Place *place = event->user;

    insist(place && place->mux == event->channel && !place->dead);
    switch (event->type) {
    case MUX_EVENT_ACCEPT:
        insist(!place->open);
        place->open = true;
        return;
    case MUX_EVENT_DATA:
        on_data(owner, place, event);
        return;
    case MUX_EVENT_FIN:
        insist(place->open && !place->fin_got);
        place->fin_got = true;
        return;
    case MUX_EVENT_STOP:
        insist(place->open && !place->fin_sent && !place->stop_got);
        place->stop_got = true;
        return;
    case MUX_EVENT_RESET:
        place->dead = true;
        if (owner->manner % 4)
            close_place(place, MUX_CODE_CLOSED);
        return;
    case MUX_EVENT_NONE:
    case MUX_EVENT_UP:
    case MUX_EVENT_DOWN:
    case MUX_EVENT_REJECT:
    case MUX_EVENT_SILENT:
    case MUX_EVENT_HEARD:
    case MUX_EVENT_OPEN:
        break;
    }
    insist(!"an event of a channel");
}

void owner_drain(Owner *owner)
{
    MuxEvent event;

    while (mux_session_next_event(owner->session, &event)) {
        switch (event.type) {
        case MUX_EVENT_UP:
            insist(!owner->up);
            owner->up = true;
            break;
        case MUX_EVENT_DOWN:
            insist(owner->up && event.reason != MUX_REASON_NONE);
            owner->up = false;
            break;
        case MUX_EVENT_OPEN:
            on_open(owner, &event);
            break;
        case MUX_EVENT_REJECT:
            insist(!owner->up && event.detail);
            break;
        case MUX_EVENT_SILENT:
        case MUX_EVENT_HEARD:
            insist(owner->up);
            break;
        case MUX_EVENT_NONE:
        case MUX_EVENT_ACCEPT:
        case MUX_EVENT_DATA:
        case MUX_EVENT_FIN:
        case MUX_EVENT_STOP:
        case MUX_EVENT_RESET:
            on_channel_event(owner, &event);
            break;
        }
    }
    insist(owner->up == mux_session_is_up(owner->session));
}

// --- what it does
// ---------------------------------------------------------------------------------

static void open_place(Owner *owner, Source *source)
{
    Place *place = vacant(owner);
    const uint8_t *name = (const uint8_t *)"echo";
    size_t n = 4;

    if (!place)
        return;
    if (source_8(source) % 4 == 0)
        n = source_bytes(source, source_8(source), &name);
    if (mux_session_open(
            owner->session,
            &(MuxOpening){
                .name = (const char *)name, .length = n, .nonce = OWNER_NONCE, .user = place},
            &place->mux) != 0)
        place->mux = NULL;
}

static bool may_send(const Place *place)
{
    return place->mux && place->open && !place->dead && !place->fin_sent && !place->stop_got;
}

void owner_act(Owner *owner, Source *source)
{
    uint8_t what = source_8(source);
    Place *place = &owner->places[source_8(source) % OWNER_CHANNELS];

    if (what % 8 == 0)
        open_place(owner, source);
    if (!place->mux)
        return;
    if (what % 8 == 1 && !place->open && !place->dead) {
        // Its own channels are the peer's to accept.
        MuxChannelInfo info;
        mux_channel_info(place->mux, &info);
        if (!info.ours)
            accept_place(place);
    } else if (what % 8 == 2) {
        close_place(place, (MuxCode)(what % MUX_CODES));
    } else if (what % 8 == 3) {
        read_place(place);
    } else if (what % 8 == 4 && may_send(place)) {
        mux_channel_fin(place->mux);
        place->fin_sent = true;
    } else if (what % 8 == 5) {
        mux_channel_stop(place->mux);
        place->stopped = true;
    } else if (what % 8 >= 6 && may_send(place)) {
        mux_channel_ready(place->mux);
    }
}

void owner_write(Owner *owner, Source *source)
{
    const uint8_t *base;
    MuxTurn turn;

    for (unsigned i = 0; i < 64 && mux_session_next_turn(owner->session, &turn); i++) {
        const Place *place = turn.user;
        insist(place && place->mux == turn.channel && may_send(place) && turn.size > 0);
        size_t n = turn.size < 1000 ? turn.size : source_8(source) % 4 * turn.size / 3;
        memset(turn.base, 'x', n);
        mux_session_turn_done(owner->session, &turn, n, n > 0 && source_8(source) % 2);
    }
    size_t n = mux_session_output(owner->session, &base);
    if (n == 0)
        return;
    owner->manner += sum_of(base, n);
    if (source_8(source) % 4 == 0)
        n = source_16(source) % n;
    mux_session_output_done(owner->session, n);
}

void owner_check(const Owner *owner)
{
    MuxSessionInfo info;
    uint64_t held = 0;

    mux_session_info(owner->session, &info);
    for (size_t i = 0; i < OWNER_CHANNELS; i++) {
        MuxChannelInfo channel;
        if (!owner->places[i].mux)
            continue;
        mux_channel_info(owner->places[i].mux, &channel);
        insist(channel.consumed <= channel.received && channel.credit <= 1u << 30);
        held += channel.window + channel.received - channel.consumed;
    }
    insist(held <= info.budget);
}
