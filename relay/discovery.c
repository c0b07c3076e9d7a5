// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A peer that does not read what is announced costs nothing: not lines are kept, but the names of
// services about which the peer is to be told, and a line is made when there is room for it.
//
// What the peer announces is bounded in number, bytes and pace. Lines and keys that are not known
// are those of later versions, and are passed over.

#include "discovery.h"

#include <gio/gio.h>
#include <string.h>

#include "events.h"
#include "hex.h"
#include "json.h"
#include "lines.h"
#include "proto/name.h"
#include "remotes.h"

#define SHOWN_MAX 40 // of the peer's name and version

struct MuxDiscovery {
    MuxLink *link;
    MuxLines *lines;
    GHashTable *offers;     // names of services that the peer is to be told about
    GHashTable *told;       // …that it was told are there
    bool greeted;           // our first line was made, in this session
    bool crowded;           // the peer has told of more than is kept
    char *daemon, *version; // the peer's
};

// --- lines that come

static bool is_service(const char *name)
{
    size_t service;
    return mux_name_valid(name, strlen(name), &service) && name[service] == '\0';
}

static void take_greeting(MuxDiscovery *discovery, const char *daemon, const char *version)
{
    if (discovery->daemon)
        return;
    discovery->daemon = g_strdelimit(mux_printable(daemon, SHOWN_MAX), " ", '?');
    discovery->version = g_strdelimit(mux_printable(version, SHOWN_MAX), " ", '?');
    if (strcmp(discovery->version, GUESTMUX_VERSION) != 0)
        mux_link_log(discovery->link, G_LOG_LEVEL_MESSAGE,
                     "the other end is %s %s; this is version " GUESTMUX_VERSION, discovery->daemon,
                     discovery->version);
    mux_event_link_up(discovery->link);
}

static void say_crowded(MuxDiscovery *discovery)
{
    if (!discovery->crowded)
        mux_link_log(discovery->link, G_LOG_LEVEL_WARNING,
                     "the other end has more services than are kept; some are not shown");
    discovery->crowded = true;
}

// An error is why the channel is not read any further.
static bool take_object(void *user, json_object *untrusted, GError **error)
{
    MuxDiscovery *discovery = user;
    const char *daemon = NULL, *version = "", *service = NULL, *gone = NULL;
    MuxFacts facts;

    if (!mux_json_string(untrusted, "daemon", &daemon, error) ||
        !mux_json_string(untrusted, "version", &version, error) ||
        !mux_json_string(untrusted, "service", &service, error) ||
        !mux_json_string(untrusted, "gone", &gone, error))
        return false;
    if (daemon)
        take_greeting(discovery, daemon, version);
    if (gone)
        mux_remotes_drop(discovery->link->remotes, gone);
    if (!service)
        return true;
    if (!is_service(service)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a service without a name");
        return false;
    }
    if (!mux_facts_read(untrusted, &facts, error))
        return false;
    if (!mux_remotes_put(discovery->link->remotes, service, &facts))
        say_crowded(discovery);
    return true;
}

// --- lines that go

static json_object *greeting(const MuxRelay *relay)
{
    json_object *line = json_object_new_object();

    json_object_object_add(line, "daemon", json_object_new_string(mux_relay_daemon(relay)));
    json_object_object_add(line, "version", json_object_new_string(GUESTMUX_VERSION));
    return line;
}

// What there is to say of a service now: to a VM that may not open it, it does not exist. NULL: the
// peer knows.
static json_object *offer(MuxDiscovery *discovery, const char *name)
{
    const MuxLink *link = discovery->link;
    const MuxService *service = mux_services_find(link->relay->services, name, strlen(name));

    if (service && mux_service_allows(service, link->name)) {
        g_hash_table_add(discovery->told, g_strdup(name));
        return mux_service_facts_json(service);
    }
    if (!g_hash_table_remove(discovery->told, name))
        return NULL;
    json_object *line = json_object_new_object();
    json_object_object_add(line, "gone", json_object_new_string(name));
    return line;
}

static json_object *next_line(void *user)
{
    MuxDiscovery *discovery = user;
    json_object *line = NULL;
    GHashTableIter iter;
    gpointer name;

    if (!discovery->greeted) {
        discovery->greeted = true;
        return greeting(discovery->link->relay);
    }
    g_hash_table_iter_init(&iter, discovery->offers);
    while (!line && g_hash_table_iter_next(&iter, &name, NULL)) {
        line = offer(discovery, name);
        g_hash_table_iter_remove(&iter);
    }
    return line;
}

void mux_discovery_offer(MuxDiscovery *discovery, const char *service, MuxChange change)
{
    if (!mux_lines_are_open(discovery->lines))
        return;
    // Of services that come and go while the peer does not read, nothing is kept.
    if (change == MUX_REMOVED && !g_hash_table_contains(discovery->told, service)) {
        g_hash_table_remove(discovery->offers, service);
        return;
    }
    g_hash_table_add(discovery->offers, g_strdup(service));
    mux_lines_kick(discovery->lines);
}

// --- beginning and end

// Everything is to be told from the beginning.
static void begin(MuxDiscovery *discovery)
{
    MuxRelay *relay = discovery->link->relay;
    g_autoptr(GList) all = mux_services_sorted(relay->services);

    discovery->greeted = discovery->crowded = false;
    g_hash_table_remove_all(discovery->offers);
    g_hash_table_remove_all(discovery->told);
    for (GList *item = all; item; item = item->next)
        if (mux_service_allows(item->data, discovery->link->name))
            g_hash_table_add(discovery->offers, g_strdup(((MuxService *)item->data)->name));
}

void mux_discovery_start(MuxDiscovery *discovery)
{
    if (discovery->link->relay->role != MUX_GUEST)
        return;
    begin(discovery);
    if (!mux_lines_open(discovery->lines))
        mux_link_log(discovery->link, G_LOG_LEVEL_WARNING, "the services cannot be announced");
}

void mux_discovery_take(MuxDiscovery *discovery, MuxChannel *channel)
{
    // The guest opens it.
    if (discovery->link->relay->role != MUX_HOST || !mux_lines_take(discovery->lines, channel)) {
        mux_channel_close(channel, MUX_CODE_LIMIT);
        return;
    }
    begin(discovery);
}

// Without the channel, what was announced is not known to be so any more.
static void on_ended(void *user, bool refused)
{
    MuxDiscovery *discovery = user;

    mux_remotes_drop(discovery->link->remotes, NULL);
    if (refused) // and so does not say who it is
        mux_event_link_up(discovery->link);
}

void mux_discovery_end(MuxDiscovery *discovery)
{
    mux_lines_end(discovery->lines);
    mux_remotes_drop(discovery->link->remotes, NULL);
    g_clear_pointer(&discovery->daemon, g_free);
    g_clear_pointer(&discovery->version, g_free);
}

MuxDiscovery *mux_discovery_new(MuxLink *link)
{
    static const MuxLinesEvents events = {take_object, next_line, on_ended};
    MuxDiscovery *discovery = g_new0(MuxDiscovery, 1);

    discovery->link = link;
    discovery->offers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    discovery->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    discovery->lines = mux_lines_new(link, MUX_DISCOVERY_NAME, &events, discovery);
    return discovery;
}

MuxDiscovery *mux_discovery_free(MuxDiscovery *discovery)
{
    if (!discovery)
        return NULL;
    mux_discovery_end(discovery);
    mux_lines_free(discovery->lines);
    g_hash_table_unref(discovery->offers);
    g_hash_table_unref(discovery->told);
    g_free(discovery);
    return NULL;
}

// --- showing

json_object *mux_discovery_peer_json(const MuxDiscovery *discovery)
{
    if (!discovery->daemon)
        return NULL;
    json_object *object = json_object_new_object();
    json_object_object_add(object, "daemon", json_object_new_string(discovery->daemon));
    json_object_object_add(object, "version", json_object_new_string(discovery->version));
    return object;
}
