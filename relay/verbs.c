// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One table of verbs; each makes its answer from the relay as it is now. docs/control.md shows
// them.

#include "verbs.h"

#include <string.h>

#include "buffers/buffer-json.h"
#include "events.h"
#include "json.h"
#include "link.h"
#include "policy.h"
#include "preamble.h"
#include "remotes.h"
#include "services.h"
#include "status.h"

// Of one user who is not root: so that he cannot take all names.
#define REGISTERED_OF_USER 64

static json_object *good(const MuxControl *control)
{
    json_object *answer = json_object_new_object();
    const char *daemon = mux_relay_daemon(mux_control_relay(control));

    json_object_object_add(answer, "ok", json_object_new_boolean(true));
    json_object_object_add(answer, "daemon", json_object_new_string(daemon));
    json_object_object_add(answer, "version", json_object_new_string(GUESTMUX_VERSION));
    return answer;
}

json_object *mux_verb_error(const char *code, const char *text)
{
    json_object *answer = json_object_new_object();
    json_object *error = json_object_new_object();

    json_object_object_add(answer, "ok", json_object_new_boolean(false));
    json_object_object_add(error, "code", json_object_new_string(code));
    json_object_object_add(error, "text", json_object_new_string(text));
    json_object_object_add(answer, "error", error);
    return answer;
}

// --- looking

static json_object *add_links(MuxControl *control, const char *key, bool channels)
{
    json_object *answer = good(control);
    json_object *links =
        mux_status_links(mux_control_relay(control), channels, mux_control_peer(control));

    json_object_object_add(answer, key, links);
    return answer;
}

static json_object *verb_status(MuxControl *control, json_object *request)
{
    (void)request;
    return add_links(control, "links", true);
}

// The same without the channels.
static json_object *verb_links(MuxControl *control, json_object *request)
{
    (void)request;
    return add_links(control, "links", false);
}

static json_object *verb_vms(MuxControl *control, json_object *request)
{
    (void)request;
    if (mux_control_relay(control)->role != MUX_HOST)
        return mux_verb_error("not-here", "only hostmux has VMs");
    return add_links(control, "vms", false);
}

// What that connection's user can open.
static void add_remotes(json_object *list, MuxControl *control, const MuxLink *link)
{
    g_autoptr(GList) all = mux_remotes_sorted(link->remotes);

    for (GList *item = all; item; item = item->next) {
        const MuxRemote *remote = item->data;
        if (mux_policy_allows(link->relay->policy, MUX_POLICY_OPEN, remote->name,
                              strlen(remote->name), mux_control_peer(control)))
            json_object_array_add(list, mux_remote_json(link, remote));
    }
}

static json_object *verb_services(MuxControl *control, json_object *request)
{
    MuxRelay *relay = mux_control_relay(control);
    json_object *answer = good(control);
    json_object *remotes = json_object_new_array();

    (void)request;
    json_object_object_add(answer, "services", mux_services_json(relay->services));
    for (guint i = 0; i < relay->links->len; i++)
        add_remotes(remotes, control, g_ptr_array_index(relay->links, i));
    json_object_object_add(answer, "remote", remotes);
    return answer;
}

// --- buffers

static json_object *verb_buffers(MuxControl *control, json_object *request)
{
    const MuxRelay *relay = mux_control_relay(control);
    json_object *answer = good(control), *list = json_object_new_array();

    (void)request;
    for (guint i = 0; i < relay->links->len; i++) {
        const MuxLink *link = g_ptr_array_index(relay->links, i);
        const MuxBuffer *buffer = NULL;
        while ((buffer = mux_buffers_next(link, buffer)))
            if (mux_buffer_may_open(buffer, mux_control_peer(control)))
                json_object_array_add(list, mux_buffer_json(buffer));
    }
    json_object_object_add(answer, "buffers", list);
    return answer;
}

static json_object *verb_release(MuxControl *control, json_object *request)
{
    const MuxPeer *peer = mux_control_peer(control);
    g_autoptr(GError) error = NULL;
    MuxBufferError why;
    const char *name = NULL;

    if (!mux_json_string(request, "buffer", &name, &error))
        return mux_verb_error("bad-request", error->message);
    if (!name)
        return mux_verb_error("bad-request", "\"buffer\" is missing");
    const MuxLink *link = mux_buffers_link(mux_control_relay(control), &name, &why);
    if (!link)
        return mux_verb_error(why.code, why.text);
    MuxBuffer *buffer = mux_buffers_find(link, name);
    if (!buffer || !mux_buffer_may_open(buffer, peer))
        return mux_verb_error("no-buffer", "there is no such buffer");
    if (!mux_buffer_may_release(buffer, peer))
        return mux_verb_error("denied",
                              "it is for its owner to release it, or for root on his side");
    mux_buffer_release(buffer, "released");
    return good(control);
}

// --- events

// 0 when one of them is not a topic.
static unsigned parse_topics(char **words)
{
    static const char *const names[] = {"services", "links", "channels", "buffers"};
    unsigned topics = 0;

    for (char **word = words; *word; word++) {
        size_t i = 0;
        while (i < G_N_ELEMENTS(names) && strcmp(*word, names[i]) != 0)
            i++;
        if (i == G_N_ELEMENTS(names))
            return 0;
        topics |= 1u << i;
    }
    return topics;
}

static json_object *verb_events(MuxControl *control, json_object *request)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) only = NULL;
    const char *application = NULL;

    if (!mux_json_strings(request, "only", &only, &error) ||
        !mux_json_string(request, "application", &application, &error))
        return mux_verb_error("bad-request", error->message);
    unsigned topics = only ? parse_topics(only) : MUX_TOPICS_ALL;
    if (!topics)
        return mux_verb_error("bad-request",
                              "\"only\" can have \"services\", \"links\", \"channels\" and "
                              "\"buffers\"");
    mux_control_subscribe(control, topics, application);
    return good(control);
}

// --- registration

// Who registers a service to be connected to, or a program to be started, has the daemon do that,
// with the daemon's rights.
static const char *forbids(MuxControl *control, const MuxService *service)
{
    bool privileged = mux_peer_is_privileged(mux_control_peer(control));

    if (service->kind != MUX_SERVICE_ACCEPT && !privileged)
        return "\"connect\" and \"exec\" are for root and the daemon's own user; use \"accept\"";
    if (!mux_control_may_register(control, service->name))
        return "the policy does not let this user register that service";
    return NULL;
}

static json_object *holder_json(const MuxPeer *peer)
{
    MuxCaller caller;

    mux_peer_caller(peer, &caller);
    return mux_caller_json(&caller);
}

static json_object *registered(MuxControl *control, MuxService *service)
{
    MuxRelay *relay = mux_control_relay(control);
    const MuxPeer *peer = mux_control_peer(control);
    g_autoptr(GError) error = NULL;
    json_object *answer = good(control);

    json_object_object_add(answer, "service", json_object_new_string(service->name));
    int r = mux_services_register(relay->services, service, control, holder_json(peer),
                                  mux_peer_is_privileged(peer), &error);
    if (r == 0)
        return answer;
    json_object_put(answer);
    return mux_verb_error(r == MUX_REGISTER_TAKEN ? "taken" : "limit", error->message);
}

static json_object *verb_register(MuxControl *control, json_object *request)
{
    g_autoptr(GError) error = NULL;
    MuxService *service = mux_service_register(request, &error);

    if (!service)
        return mux_verb_error("bad-request", error->message);
    const char *why = forbids(control, service);
    bool full = mux_control_registered(control) >= REGISTERED_OF_USER &&
                !mux_peer_is_privileged(mux_control_peer(control));
    if (!why && !full)
        return registered(control, service);
    mux_service_unref(service);
    return why ? mux_verb_error("denied", why)
               : mux_verb_error("limit", "this user has registered 64 services already");
}

static json_object *verb_unregister(MuxControl *control, json_object *request)
{
    MuxServices *services = mux_control_relay(control)->services;
    g_autoptr(GError) error = NULL;
    const char *name = NULL;

    if (!mux_json_string(request, "service", &name, &error))
        return mux_verb_error("bad-request", error->message);
    if (!name)
        return mux_verb_error("bad-request", "\"service\" is missing");
    if (mux_services_unregister(services, control, name))
        return good(control);
    return mux_verb_error("no-service", "this connection has registered no such service");
}

// --- the table

static const struct {
    const char *name;
    json_object *(*run)(MuxControl *control, json_object *request);
    const char *const *keys; // that it knows; NULL: it checks them itself
} verbs[] = {
    {"buffers", verb_buffers, (const char *const[]){"verb", NULL}},
    {"events", verb_events, (const char *const[]){"verb", "only", "application", NULL}},
    {"links", verb_links, (const char *const[]){"verb", NULL}},
    {"register", verb_register, NULL},
    {"release", verb_release, (const char *const[]){"verb", "buffer", NULL}},
    {"services", verb_services, (const char *const[]){"verb", NULL}},
    {"status", verb_status, (const char *const[]){"verb", NULL}},
    {"unregister", verb_unregister, (const char *const[]){"verb", "service", NULL}},
    {"vms", verb_vms, (const char *const[]){"verb", NULL}},
};

json_object *mux_verb_run(MuxControl *control, json_object *request)
{
    g_autoptr(GError) error = NULL;
    const char *verb = NULL;
    size_t i = 0;

    if (!mux_json_string(request, "verb", &verb, &error))
        return mux_verb_error("bad-request", error->message);
    while (i < G_N_ELEMENTS(verbs) && g_strcmp0(verbs[i].name, verb) != 0)
        i++;
    if (i == G_N_ELEMENTS(verbs))
        return mux_verb_error("no-verb",
                              "\"verb\" must be one of buffers, events, links, register, "
                              "release, services, status, unregister, vms");
    if (verbs[i].keys && !mux_json_known(request, verbs[i].keys, &error))
        return mux_verb_error("bad-request", error->message);
    return verbs[i].run(control, request);
}
