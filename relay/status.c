// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See status.h.

#include "status.h"

#include <string.h>

#include "discovery.h"
#include "joint.h"
#include "link.h"
#include "memory.h"
#include "preamble.h"
#include "regions.h"

#define SHOWN_MAX 160

static void add_string(json_object *object, const char *key, const char *value)
{
    // A service's argument may be any bytes, but JSON is UTF-8.
    g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;
    json_object_object_add(object, key, valid ? json_object_new_string(valid) : NULL);
}

static void add_number(json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

// An id is 64 random bits: as a number, most readers of JSON would round it.
static void add_id(json_object *object, const char *key, uint64_t id)
{
    g_autofree char *text = id ? g_strdup_printf("%016" G_GINT64_MODIFIER "x", id) : NULL;
    add_string(object, key, text);
}

static void add_seconds_since(json_object *object, const char *key, uint64_t then_us)
{
    double seconds = (double)((uint64_t)g_get_monotonic_time() - then_us) / G_USEC_PER_SEC;
    g_autofree char *text = g_strdup_printf("%.3f", seconds);
    json_object_object_add(object, key, json_object_new_double_s(seconds, text));
}

// --- channels

// What its argument is, is for its two ends.
static size_t visible_length(const MuxJoint *joint, const MuxChannelInfo *info,
                             const MuxPeer *viewer)
{
    bool own = info->ours && joint->caller.known && joint->caller.uid == viewer->uid;

    return own || mux_peer_is_privileged(viewer) ? SHOWN_MAX : strcspn(joint->name, ":");
}

static json_object *joint_json(const MuxJoint *joint, const MuxPeer *viewer)
{
    static const char *const states[] = {[MUX_JOINT_CONNECTING] = "connecting",
                                         [MUX_JOINT_OPENING] = "opening",
                                         [MUX_JOINT_JOINED] = "open"};
    json_object *object = json_object_new_object();
    MuxChannelInfo info;

    mux_channel_info(joint->channel, &info);
    add_number(object, "id", info.id);
    g_autofree char *name = g_strndup(joint->name, visible_length(joint, &info, viewer));
    add_string(object, "service", name);
    add_string(object, "direction", info.ours ? "out" : "in");
    add_string(object, "state",
               joint->state == MUX_JOINT_JOINED ? info.state : states[joint->state]);
    add_number(object, "sent", info.sent);
    add_number(object, "received", info.received);
    add_number(object, "unread", info.received - info.consumed);
    add_number(object, "credit", info.credit);
    add_number(object, "window", info.window);
    add_number(object, "stalls", info.stalls);
    json_object_object_add(object, "caller", mux_caller_json(&joint->caller));
    add_seconds_since(object, "age", joint->since_us);
    return object;
}

static json_object *joints_json(const MuxLink *link, const MuxPeer *viewer)
{
    json_object *list = json_object_new_array();
    const MuxList *const lists[] = {&link->unsettled, &link->joints};

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (const MuxList *node = lists[i]->next; node != lists[i]; node = node->next) {
            const MuxJoint *joint = mux_container(node, const MuxJoint, node);
            if (!joint->own)
                json_object_array_add(list, joint_json(joint, viewer));
        }
    }
    return list;
}

// --- links

static json_object *end_json(const MuxLinkEnd *end)
{
    if (!end->why)
        return NULL;
    json_object *object = json_object_new_object();
    add_string(object, "reason", end->why);
    add_seconds_since(object, "age", end->when_us);
    add_number(object, "channels", end->channels);
    return object;
}

static json_object *session_json(const MuxSessionInfo *info)
{
    json_object *object = json_object_new_object();

    add_id(object, "id", info->id);
    add_id(object, "peer", info->peer_id);
    add_number(object, "version", info->version);
    add_number(object, "sent", info->sent);
    add_number(object, "received", info->received);
    add_number(object, "in_flight", info->in_flight);
    add_number(object, "budget", info->budget);
    add_number(object, "budget_used", info->budget_used);
    add_number(object, "rtt_us", info->rtt_us);
    json_object_object_add(object, "silent", json_object_new_boolean(info->silent));
    add_number(object, "silences", info->silences);
    return object;
}

static json_object *memory_json(MuxLink *link)
{
    const MuxMemoryKind *kind = link->relay->memory;
    json_object *object = kind && kind->status ? kind->status(link) : NULL;

    if (!object)
        object = json_object_new_object();
    mux_regions_json(link, object);
    return object;
}

static json_object *link_json(MuxLink *link, bool channels, const MuxPeer *viewer)
{
    json_object *object = json_object_new_object();
    MuxSessionInfo info;

    mux_session_info(link->session, &info);
    add_string(object, "name", link->name);
    add_string(object, "state", info.state);
    add_string(object, "port", mux_port_spec(link->port));
    add_string(object, "port_state", mux_port_state(link->port));
    json_object_object_add(object, "session",
                           mux_session_is_up(link->session) ? session_json(&info) : NULL);
    add_number(object, "sessions", info.sessions);
    add_number(object, "lost_steps", info.lost_steps);
    json_object_object_add(object, "last_end", end_json(&link->end));
    add_number(object, "opened", link->opened);
    add_number(object, "refused", link->refused);
    add_number(object, "channels_open", mux_link_channels(link));
    json_object_object_add(object, "peer", mux_discovery_peer_json(link->discovery));
    json_object_object_add(object, "memory", memory_json(link));
    if (channels)
        json_object_object_add(object, "channels", joints_json(link, viewer));
    return object;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(MuxLink *const *)a)->name, (*(MuxLink *const *)b)->name);
}

json_object *mux_status_links(const MuxRelay *relay, bool channels, const MuxPeer *viewer)
{
    json_object *list = json_object_new_array();
    g_autoptr(GPtrArray) links = g_ptr_array_new();

    for (guint i = 0; i < relay->links->len; i++)
        g_ptr_array_add(links, g_ptr_array_index(relay->links, i));
    g_ptr_array_sort(links, by_name);
    for (guint i = 0; i < links->len; i++)
        json_object_array_add(list, link_json(g_ptr_array_index(links, i), channels, viewer));
    return list;
}
