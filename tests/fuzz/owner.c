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

// Slots of two sizes. The memory ends with the last one, so that a sanitizer sees who goes beyond.
static const MuxSlotClass classes[] = {{64, OWNER_SLOTS - 2}, {1000, 2}};

#define MEMORY ((size_t)64 * (OWNER_SLOTS - 2) + 2000)

void owner_init(Owner *owner, MuxRole role, const MuxLimits *limits)
{
    *owner = (Owner){.role = role, .memory = {malloc(MEMORY), malloc(MEMORY)}};
    if (!owner->memory[0] || !owner->memory[1])
        abort();
    memset(owner->memory[0], 'm', MEMORY);
    mux_notice_init(&owner->notice, 1);
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
    free(owner->memory[0]);
    free(owner->memory[1]);
}

// --- shared memory
// ---------------------------------------------------------------------------------

static unsigned sum_of(const uint8_t *bytes, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

static void attach(Owner *owner, bool ours)
{
    MuxRegion region = {owner->memory[ours], OWNER_EPOCH, 2, {classes[0], classes[1]}};
    MuxSessionInfo info;

    mux_session_info(owner->session, &info);
    int r = mux_session_set_region(owner->session, ours, &region);
    insist((r == 0) == (owner->up && info.features & MUX_FEATURE_MEMORY));
    if (ours)
        memset(owner->lent, 0, sizeof(owner->lent));
    else
        memset(owner->slots, 0, sizeof(owner->slots));
}

static void give(Owner *owner, OwnerSlot *held)
{
    if (!held->slot)
        return;
    owner->manner += sum_of(held->bytes, held->size); // they are there until now
    mux_session_give(owner->session, held->slot);
    held->slot = 0;
}

static void hold(Owner *owner, const MuxEvent *event)
{
    const uint8_t *memory = owner->memory[0];
    size_t i = 0;

    insist(event->data >= memory && event->data + event->size <= memory + MEMORY);
    while (owner->slots[i].slot)
        insist(owner->slots[i++].slot != event->slot && i < OWNER_SLOTS);
    owner->slots[i] = (OwnerSlot){event->slot, event->data, event->size};
    if (owner->manner % 8 < 5)
        give(owner, &owner->slots[i]);
}

static Place *vacant(Owner *owner)
{
    for (size_t i = 0; i < OWNER_CHANNELS; i++)
        if (!owner->places[i].mux)
            return &owner->places[i];
    return NULL;
}

// Every other one is to use shared memory, and has something for it.
static void choose_path(const Owner *owner, const Place *place)
{
    if ((place - owner->places) % 2)
        return;
    mux_channel_set_path(place->mux, MUX_PATH_SHARED, 0);
    mux_channel_ready(place->mux);
}

static void accept_place(Owner *owner, Place *place)
{
    mux_channel_accept(place->mux, place);
    place->open = true;
    choose_path(owner, place);
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
        accept_place(owner, place);
    else if (owner->manner >> 17 & 1)
        close_place(place, MUX_CODE_REFUSED);
}

static void on_data(Owner *owner, Place *place, const MuxEvent *event)
{
    insist(place->open && !place->fin_got && !place->stopped && event->size > 0);
    owner->manner += sum_of(event->data, event->size); // each byte is there to be read
    place->unread += event->size;
    if (owner->manner % 2)
        read_place(place);
    if (event->slot)
        hold(owner, event);
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
    case MUX_EVENT_NOTICE:
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
            attach(owner, false);
            attach(owner, true);
            break;
        case MUX_EVENT_DOWN:
            insist(owner->up && event.reason != MUX_REASON_NONE);
            owner->up = false;
            memset(owner->slots, 0, sizeof(owner->slots));
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
        case MUX_EVENT_NOTICE:
            insist(owner->up && event.notice && !event.channel);
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
    else
        choose_path(owner, place);
}

static void act_shared(Owner *owner, Source *source)
{
    uint8_t what = source_8(source);

    if (what < 128)
        give(owner, &owner->slots[what % OWNER_SLOTS]);
    else if (what < 136)
        (void)mux_session_set_region(owner->session, true, NULL);
    else if (what < 160)
        mux_session_set_threshold(owner->session, what % 2 ? 100 : MUX_NEVER);
    else if (what < 200)
        mux_session_notify(owner->session, &owner->notice);
    else if (owner->places[what % OWNER_CHANNELS].mux)
        mux_channel_set_path(owner->places[what % OWNER_CHANNELS].mux, (MuxPath)(what % 3),
                             source_8(source));
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
    if (what >= 200 && what < 216)
        act_shared(owner, source);
    if (!place->mux)
        return;
    if (what % 8 == 1 && !place->open && !place->dead) {
        // Its own channels are the peer's to accept.
        MuxChannelInfo info;
        mux_channel_info(place->mux, &info);
        if (!info.ours)
            accept_place(owner, place);
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
        if (turn.slot != MUX_SLOT_NONE && n > 0)
            owner->lent[turn.slot]++;
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

static void check_slots(const Owner *owner)
{
    MuxRegionInfo info;
    uint32_t n = 0;

    mux_session_region_info(owner->session, false, &info);
    for (size_t i = 0; i < OWNER_SLOTS; i++)
        n += owner->slots[i].slot != 0;
    insist(n <= info.used && info.used <= info.slots);
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
    check_slots(owner);
}
