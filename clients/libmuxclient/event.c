// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An event as C has it. All fields are read whatever the event is: a daemon of a later version may
// say more.

#include "event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    MuxClientEventKind kind;
} kinds[] = {
    {"service-added", MUX_CLIENT_EVENT_SERVICE_ADDED},
    {"service-changed", MUX_CLIENT_EVENT_SERVICE_CHANGED},
    {"service-removed", MUX_CLIENT_EVENT_SERVICE_REMOVED},
    {"offer-added", MUX_CLIENT_EVENT_OFFER_ADDED},
    {"offer-changed", MUX_CLIENT_EVENT_OFFER_CHANGED},
    {"offer-removed", MUX_CLIENT_EVENT_OFFER_REMOVED},
    {"link-added", MUX_CLIENT_EVENT_LINK_ADDED},
    {"link-removed", MUX_CLIENT_EVENT_LINK_REMOVED},
    {"link-up", MUX_CLIENT_EVENT_LINK_UP},
    {"link-down", MUX_CLIENT_EVENT_LINK_DOWN},
    {"channel-opened", MUX_CLIENT_EVENT_CHANNEL_OPENED},
    {"channel-closed", MUX_CLIENT_EVENT_CHANNEL_CLOSED},
    {"channel-refused", MUX_CLIENT_EVENT_CHANNEL_REFUSED},
    {"lost", MUX_CLIENT_EVENT_LOST},
    {"buffer-added", MUX_CLIENT_EVENT_BUFFER_ADDED},
    {"buffer-changed", MUX_CLIENT_EVENT_BUFFER_CHANGED},
    {"buffer-removed", MUX_CLIENT_EVENT_BUFFER_REMOVED},
};

void mux_client_event_box_deinit(MuxClientEventBox *box)
{
    free(box->words);
    mux_client_buffer_box_deinit(&box->buffer);
    *box = (MuxClientEventBox){0};
}

static MuxClientEventKind find_kind(const char *word)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].word, word) == 0)
            return kinds[i].kind;
    return MUX_CLIENT_EVENT_OTHER;
}

static uint64_t get_number(MuxClientJson object, const char *key, uint64_t max)
{
    uint64_t number = 0;

    (void)mux_client_json_number(mux_client_json_get(object, key), max, &number);
    return number;
}

static void fill_strings(MuxClientEvent *event, MuxClientWords *words, MuxClientJson object)
{
    MuxClientJson peer = mux_client_json_get(object, "peer");

    event->name = mux_client_words_get(words, object, "name");
    event->link = mux_client_words_get(words, object, "link");
    event->service = mux_client_words_get(words, object, "service");
    event->description = mux_client_words_get(words, object, "description");
    event->session = mux_client_words_get(words, object, "session");
    event->peer_daemon = mux_client_words_get(words, peer, "daemon");
    event->peer_version = mux_client_words_get(words, peer, "version");
    event->reason = mux_client_words_get(words, object, "reason");
    event->code = mux_client_words_get(words, object, "code");
}

static void fill_numbers(MuxClientEvent *event, MuxClientJson object)
{
    event->incoming = mux_client_json_equals(mux_client_json_get(object, "direction"), "in");
    event->id = (uint32_t)get_number(object, "id", UINT32_MAX);
    event->sent = get_number(object, "sent", UINT64_MAX);
    event->received = get_number(object, "received", UINT64_MAX);
    event->channels = get_number(object, "channels", UINT64_MAX);
    event->count = get_number(object, "count", UINT64_MAX);
    event->caller = mux_client_words_caller(mux_client_json_get(object, "caller"));
}

static int make_room(MuxClientEventBox *box, size_t size)
{
    if (box->room >= size)
        return 0;
    char *bytes = realloc(box->words, size);
    if (!bytes)
        return -ENOMEM;
    box->words = bytes;
    box->room = size;
    return 0;
}

static int fill_buffer(MuxClientEventBox *box, MuxClientEvent *event, MuxClientJson buffer,
                       bool host)
{
    if (!mux_client_json_is_object(buffer))
        return 0;
    int r = mux_client_buffer_box_fill(&box->buffer, buffer, host);
    if (r == 0)
        event->buffer = &box->buffer.info;
    return r;
}

int mux_client_event_box_fill(MuxClientEventBox *box, MuxClientJson object, bool host)
{
    MuxClientEvent event = {0};

    int r = make_room(box, object.length);
    if (r < 0)
        return r;
    MuxClientWords words = {box->words, box->room, 0};
    event.word = mux_client_words_get(&words, object, "event");
    if (!event.word)
        return -EPROTO;
    event.kind = find_kind(event.word);
    fill_strings(&event, &words, object);
    fill_numbers(&event, object);
    event.properties = box->properties;
    event.n_properties = mux_client_words_properties(
        &words, mux_client_json_get(object, "properties"), box->properties);
    r = fill_buffer(box, &event, mux_client_json_get(object, "buffer"), host);
    box->event = event;
    return r;
}
