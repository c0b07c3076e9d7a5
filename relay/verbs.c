// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One table of verbs; each makes its answer from the relay as it is now. docs/control.md shows
// them.

#include "verbs.h"

#include <string.h>

#include "joint.h"
#include "json.h"
#include "link.h"

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

// --- status

static json_object *joint_json(const MuxJoint *joint)
{
    static const char *const states[] = {[MUX_JOINT_CONNECTING] = "connecting",
                                         [MUX_JOINT_OPENING] = "opening",
                                         [MUX_JOINT_JOINED] = "open"};
    json_object *object = json_object_new_object();
    MuxChannelInfo info;

    mux_channel_info(joint->channel, &info);
    add_number(object, "id", info.id);
    // A name can have a kilobyte, which is for its handler and not for people.
    g_autofree char *name = g_strndup(joint->name, SHOWN_MAX);
    add_string(object, "service", name);
    add_string(object, "direction", info.ours ? "out" : "in");
    add_string(object, "state",
               joint->state == MUX_JOINT_JOINED ? info.state : states[joint->state]);
    add_number(object, "sent", info.sent);
    add_number(object, "received", info.received);
    add_number(object, "unread", info.received - info.consumed);
    add_number(object, "credit", info.credit);
    add_number(object, "window", info.window);
    add_seconds_since(object, "age", joint->since_us);
    return object;
}

static json_object *joints_json(const MuxLink *link)
{
    json_object *list = json_object_new_array();
    const MuxList *const lists[] = {&link->unsettled, &link->joints};

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        for (const MuxList *node = lists[i]->next; node != lists[i]; node = node->next)
            json_object_array_add(list, joint_json(mux_container(node, const MuxJoint, node)));
    return list;
}

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

static json_object *link_json(const MuxLink *link, bool channels)
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
    add_number(object, "channels_open", info.channels);
    if (channels)
        json_object_object_add(object, "channels", joints_json(link));
    return object;
}

static json_object *links_json(const MuxRelay *relay, bool channels)
{
    json_object *list = json_object_new_array();

    for (guint i = 0; i < relay->links->len; i++)
        json_object_array_add(list, link_json(g_ptr_array_index(relay->links, i), channels));
    return list;
}

static json_object *good(const MuxRelay *relay)
{
    json_object *answer = json_object_new_object();

    json_object_object_add(answer, "ok", json_object_new_boolean(true));
    add_string(answer, "daemon", relay->role == MUX_GUEST ? "guestmux" : "hostmux");
    add_string(answer, "version", GUESTMUX_VERSION);
    return answer;
}

static json_object *verb_status(MuxRelay *relay)
{
    json_object *answer = good(relay);
    json_object_object_add(answer, "links", links_json(relay, true));
    return answer;
}

// The same without the channels.
static json_object *verb_links(MuxRelay *relay)
{
    json_object *answer = good(relay);
    json_object_object_add(answer, "links", links_json(relay, false));
    return answer;
}

static json_object *verb_vms(MuxRelay *relay)
{
    if (relay->role != MUX_HOST)
        return mux_verb_error("not-here", "only hostmux has VMs");
    json_object *answer = good(relay);
    json_object_object_add(answer, "vms", links_json(relay, false));
    return answer;
}

static json_object *verb_services(MuxRelay *relay)
{
    json_object *answer = good(relay);
    json_object_object_add(answer, "services", mux_services_json(relay->services));
    return answer;
}

// --- the table

static const struct {
    const char *name;
    json_object *(*run)(MuxRelay *relay);
} verbs[] = {
    {"links", verb_links},
    {"services", verb_services},
    {"status", verb_status},
    {"vms", verb_vms},
};

json_object *mux_verb_error(const char *code, const char *text)
{
    json_object *answer = json_object_new_object();
    json_object *error = json_object_new_object();

    json_object_object_add(answer, "ok", json_object_new_boolean(false));
    add_string(error, "code", code);
    add_string(error, "text", text);
    json_object_object_add(answer, "error", error);
    return answer;
}

json_object *mux_verb_run(MuxRelay *relay, json_object *request)
{
    static const char *const known[] = {"verb", NULL};
    g_autoptr(GError) error = NULL;
    const char *verb = NULL;

    if (!mux_json_known(request, known, &error) || !mux_json_string(request, "verb", &verb, &error))
        return mux_verb_error("bad-request", error->message);
    for (size_t i = 0; verb && i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].name, verb) == 0)
            return verbs[i].run(relay);
    return mux_verb_error("no-verb", "\"verb\" must be one of links, services, status, vms");
}
