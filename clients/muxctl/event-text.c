// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An event of the control connection as a line for people: what happened, to what, and the rest.

#include "event-text.h"

#include <string.h>

#include "buffer.h"
#include "text.h"

typedef void (*Append)(GString *line, json_object *event);

// "web1/uptime", or what this side offers: "uptime".
static void append_name(GString *line, json_object *event)
{
    g_string_append(line, muxctl_text(event, muxctl_get(event, "name") ? "name" : "service"));
}

static void append_service(GString *line, json_object *event)
{
    g_autofree char *properties = muxctl_properties(muxctl_get(event, "properties"));
    const char *description = muxctl_word(event, "description");

    append_name(line, event);
    if (*properties)
        g_string_append_printf(line, " %s", properties);
    if (*description)
        g_string_append_printf(line, ": %s", description);
}

static void append_link(GString *line, json_object *event)
{
    g_string_append(line, muxctl_text(event, "link"));
}

static void append_link_up(GString *line, json_object *event)
{
    json_object *peer = muxctl_get(event, "peer");

    append_link(line, event);
    if (peer)
        g_string_append_printf(line, " %s %s", muxctl_text(peer, "daemon"),
                               muxctl_text(peer, "version"));
    g_string_append_printf(line, ", session %s", muxctl_text(event, "session"));
}

static void append_link_down(GString *line, json_object *event)
{
    append_link(line, event);
    g_string_append_printf(line, " %s, with %s channels", muxctl_text(event, "reason"),
                           muxctl_text(event, "channels"));
}

// "web1 in redis:arg", with the id if the channel had one.
static void append_channel(GString *line, json_object *event)
{
    append_link(line, event);
    if (muxctl_get(event, "id"))
        g_string_append_printf(line, " %s", muxctl_text(event, "id"));
    g_string_append_printf(line, " %s %s", muxctl_text(event, "direction"),
                           muxctl_text(event, "service"));
}

static void append_caller(GString *line, json_object *event)
{
    g_autofree char *caller = muxctl_caller(muxctl_get(event, "caller"));

    if (muxctl_get(event, "caller"))
        g_string_append_printf(line, " by %s", caller);
}

static void append_opened(GString *line, json_object *event)
{
    append_channel(line, event);
    append_caller(line, event);
}

static void append_refused(GString *line, json_object *event)
{
    append_channel(line, event);
    g_string_append_printf(line, " %s", muxctl_text(event, "code"));
    append_caller(line, event);
}

static void append_closed(GString *line, json_object *event)
{
    g_autofree char *sent = muxctl_human(muxctl_number(event, "sent"));
    g_autofree char *received = muxctl_human(muxctl_number(event, "received"));

    append_channel(line, event);
    g_string_append_printf(line, " %s, sent %s, received %s", muxctl_text(event, "code"), sent,
                           received);
}

// "web1 clip 1MiB by paint(1000) a=b"; of one that was removed, why.
static void append_buffer(GString *line, json_object *event)
{
    json_object *buffer = muxctl_get(event, "buffer");
    g_autofree char *size = muxctl_buffer_size(buffer);
    g_autofree char *owner = muxctl_buffer_owner(buffer);
    g_autofree char *properties = muxctl_properties(muxctl_get(buffer, "properties"));

    g_string_append_printf(line, "%s %s %s by %s", muxctl_text(buffer, "link"),
                           muxctl_text(buffer, "name"), size, owner);
    if (*properties)
        g_string_append_printf(line, " %s", properties);
}

static void append_buffer_removed(GString *line, json_object *event)
{
    json_object *buffer = muxctl_get(event, "buffer");
    g_autofree char *reason = muxctl_buffer_reason(muxctl_text(event, "reason"));

    g_string_append_printf(line, "%s %s %s", muxctl_text(buffer, "link"),
                           muxctl_text(buffer, "name"), reason);
}

// What "buffer watch" prints of a buffer's life.

static void append_ready(GString *line, json_object *event)
{
    json_object *buffer = muxctl_get(event, "buffer");
    g_autofree char *properties = muxctl_properties(muxctl_get(buffer, "properties"));

    g_string_append_printf(line, "%s bytes%s%s", muxctl_text(buffer, "size"),
                           *properties ? " " : "", properties);
}

static void append_notice(GString *line, json_object *event)
{
    g_string_append_printf(line, "%s: %s bytes at %s", muxctl_text(event, "sequence"),
                           muxctl_text(event, "length"), muxctl_text(event, "offset"));
}

static void append_properties(GString *line, json_object *event)
{
    g_autofree char *properties = muxctl_properties(muxctl_get(event, "properties"));

    g_string_append(line, properties);
}

static void append_gone(GString *line, json_object *event)
{
    g_autofree char *reason = muxctl_buffer_reason(muxctl_text(event, "reason"));

    g_string_append(line, reason);
}

static void append_lost(GString *line, json_object *event)
{
    g_string_append_printf(line, "%s events", muxctl_text(event, "count"));
}

// One of a later version.
static void append_all(GString *line, json_object *event)
{
    g_autofree char *text = muxctl_json(event, JSON_C_TO_STRING_NOSLASHESCAPE);

    g_string_append(line, text);
}

static Append find(const char *word)
{
    static const struct {
        const char *word;
        Append append;
    } known[] = {
        {"service-added", append_service},
        {"service-changed", append_service},
        {"service-removed", append_name},
        {"offer-added", append_service},
        {"offer-changed", append_service},
        {"offer-removed", append_name},
        {"link-added", append_link},
        {"link-removed", append_link},
        {"link-up", append_link_up},
        {"link-down", append_link_down},
        {"channel-opened", append_opened},
        {"channel-closed", append_closed},
        {"channel-refused", append_refused},
        {"buffer-added", append_buffer},
        {"buffer-changed", append_buffer},
        {"buffer-removed", append_buffer_removed},
        {"lost", append_lost},
        {"ready", append_ready},
        {"notice", append_notice},
        {"properties", append_properties},
        {"gone", append_gone},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (strcmp(known[i].word, word) == 0)
            return known[i].append;
    return append_all;
}

char *muxctl_event_text(json_object *event)
{
    GString *line = g_string_new(NULL);
    const char *word = muxctl_text(event, "event");

    g_string_append_printf(line, "%-15s ", word);
    find(word)(line, event);
    return g_string_free(line, FALSE);
}
