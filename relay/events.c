// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See docs/control.md for what each event has.

#include "events.h"

#include <string.h>

#include "control.h"
#include "discovery.h"
#include "preamble.h"

static void add_string(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

static json_object *event_new(const char *event)
{
    json_object *object = json_object_new_object();

    add_string(object, "event", event);
    return object;
}

// {"event": "KIND-added"}
static json_object *change_new(const char *kind, MuxChange change)
{
    static const char *const words[] = {
        [MUX_ADDED] = "added", [MUX_CHANGED] = "changed", [MUX_REMOVED] = "removed"};
    g_autofree char *event = g_strdup_printf("%s-%s", kind, words[change]);

    return event_new(event);
}

// Moves the fields of `more`, which is used up, to `object`.
static void extend(json_object *object, json_object *more)
{
    json_object_object_foreach(more, key, value)
    {
        json_object_object_add(object, key, json_object_get(value));
    }
    json_object_put(more);
}

// --- services

void mux_event_offer(MuxRelay *relay, const MuxService *service, MuxChange change)
{
    if (!mux_controls_want(relay->controls, MUX_TOPIC_SERVICES))
        return;
    json_object *event = change_new("offer", change);
    extend(event, mux_service_facts_json(service));
    mux_controls_publish(relay->controls, MUX_TOPIC_SERVICES, event, NULL);
}

void mux_event_remote(MuxLink *link, const MuxRemote *remote, MuxChange change)
{
    MuxControls *controls = link->relay->controls;

    if (!mux_controls_want(controls, MUX_TOPIC_SERVICES))
        return;
    json_object *event = change_new("service", change);
    extend(event, mux_remote_json(link, remote));
    const MuxAudience audience = {.service = remote->name};
    mux_controls_publish(controls, MUX_TOPIC_SERVICES, event, &audience);
}

// --- links

static void publish_link(const MuxLink *link, json_object *event)
{
    add_string(event, "link", link->name);
    mux_controls_publish(link->relay->controls, MUX_TOPIC_LINKS, event, NULL);
}

void mux_event_link(const MuxLink *link, MuxChange change)
{
    if (mux_controls_want(link->relay->controls, MUX_TOPIC_LINKS))
        publish_link(link, change_new("link", change));
}

void mux_event_link_up(const MuxLink *link)
{
    MuxSessionInfo info;

    if (!mux_controls_want(link->relay->controls, MUX_TOPIC_LINKS))
        return;
    mux_session_info(link->session, &info);
    g_autofree char *id = g_strdup_printf("%016" G_GINT64_MODIFIER "x", info.id);
    json_object *event = event_new("link-up");
    add_string(event, "session", id);
    json_object_object_add(event, "peer", mux_discovery_peer_json(link->discovery));
    publish_link(link, event);
}

void mux_event_link_down(const MuxLink *link)
{
    if (!mux_controls_want(link->relay->controls, MUX_TOPIC_LINKS))
        return;
    json_object *event = event_new("link-down");
    add_string(event, "reason", link->end.why);
    json_object_object_add(event, "channels", json_object_new_int64(link->end.channels));
    publish_link(link, event);
}

// --- channels

// The name without its argument, which is nobody's business but the two ends'. Those who may see
// that get it from the audience's `name`.
static void publish_channel(const MuxLink *link, json_object *event, const char *name,
                            const char *direction, const MuxCaller *caller)
{
    bool ours = strcmp(direction, "out") == 0;
    const MuxAudience audience = {.name = name,
                                  .owner = ours && caller->known ? caller->uid : (uid_t)-1};
    // A name that was refused may be any bytes, but JSON is UTF-8.
    g_autofree char *service = g_utf8_make_valid(name, (gssize)strcspn(name, ":"));

    add_string(event, "link", link->name);
    add_string(event, "service", service);
    add_string(event, "direction", direction);
    mux_controls_publish(link->relay->controls, MUX_TOPIC_CHANNELS, event, &audience);
}

static bool wanted(const MuxJoint *joint)
{
    return !joint->own && mux_controls_want(joint->link->relay->controls, MUX_TOPIC_CHANNELS);
}

static const char *add_info(json_object *event, const MuxChannelInfo *info)
{
    json_object_object_add(event, "id", json_object_new_int64(info->id));
    return info->ours ? "out" : "in";
}

void mux_event_channel_opened(const MuxJoint *joint)
{
    MuxChannelInfo info;

    if (!wanted(joint))
        return;
    mux_channel_info(joint->channel, &info);
    json_object *event = event_new("channel-opened");
    const char *direction = add_info(event, &info);
    json_object_object_add(event, "caller", mux_caller_json(&joint->caller));
    publish_channel(joint->link, event, joint->name, direction, &joint->caller);
}

void mux_event_channel_closed(const MuxJoint *joint, uint32_t code, bool done)
{
    MuxChannelInfo info;

    if (!wanted(joint))
        return;
    mux_channel_info(joint->channel, &info);
    json_object *event = event_new("channel-closed");
    const char *direction = add_info(event, &info);
    add_string(event, "code", done ? "done" : mux_code_name(code));
    json_object_object_add(event, "sent", json_object_new_uint64(info.sent));
    json_object_object_add(event, "received", json_object_new_uint64(info.received));
    publish_channel(joint->link, event, joint->name, direction, &joint->caller);
}

void mux_event_channel_refused(const MuxLink *link, const char *name, const char *direction,
                               const MuxCaller *caller, uint32_t code)
{
    if (!mux_controls_want(link->relay->controls, MUX_TOPIC_CHANNELS))
        return;
    json_object *event = event_new("channel-refused");
    add_string(event, "code", mux_code_name(code));
    json_object_object_add(event, "caller", mux_caller_json(caller));
    publish_channel(link, event, name, direction, caller);
}
