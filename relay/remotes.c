// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the other side says is kept for as long as the session lasts, and is bounded in number and
// in bytes.

#include "remotes.h"

#include <string.h>

#include "events.h"
#include "link.h"

// More than what programs can register on the other side, each of which may say 4 KiB of itself: so
// that no user there can have others left out.
#define REMOTES_MAX 2048
#define BYTES_MAX   (4 * 1024 * 1024)

struct MuxRemotes {
    MuxLink *link;
    GHashTable *by_name; // of MuxRemote
    size_t bytes;        // that they count for
};

static void remote_free(gpointer pointer)
{
    MuxRemote *remote = pointer;

    g_free(remote->name);
    g_free(remote->facts.description);
    json_object_put(remote->facts.properties);
    g_free(remote);
}

static void forget(MuxRemotes *remotes, MuxRemote *remote)
{
    mux_event_remote(remotes->link, remote, MUX_REMOVED);
    remotes->bytes -= remote->size;
    g_hash_table_remove(remotes->by_name, remote->name);
}

static bool same_facts(const MuxFacts *a, const MuxFacts *b)
{
    return strcmp(a->description, b->description) == 0 &&
           json_object_equal(a->properties, b->properties);
}

static bool has_room(const MuxRemotes *remotes, const MuxRemote *before, size_t size)
{
    return remotes->bytes - (before ? before->size : 0) + size <= BYTES_MAX &&
           (before || g_hash_table_size(remotes->by_name) < REMOTES_MAX);
}

bool mux_remotes_put(MuxRemotes *remotes, const char *name, const MuxFacts *facts)
{
    MuxRemote *before = g_hash_table_lookup(remotes->by_name, name);
    MuxRemote *remote = g_new0(MuxRemote, 1);
    bool old = before, same = before && same_facts(&before->facts, facts);

    *remote = (MuxRemote){g_strdup(name), *facts, strlen(name) + facts->size};
    if (!has_room(remotes, before, remote->size)) {
        remote_free(remote);
        mux_remotes_drop(remotes, name); // what it said before is not so any more
        return false;
    }
    remotes->bytes += remote->size - (before ? before->size : 0);
    g_hash_table_replace(remotes->by_name, remote->name, remote);
    if (!same)
        mux_event_remote(remotes->link, remote, old ? MUX_CHANGED : MUX_ADDED);
    return true;
}

void mux_remotes_drop(MuxRemotes *remotes, const char *name)
{
    MuxRemote *remote = name ? g_hash_table_lookup(remotes->by_name, name) : NULL;
    g_autoptr(GList) all = name ? NULL : mux_remotes_sorted(remotes);

    if (remote)
        forget(remotes, remote);
    for (GList *item = all; item; item = item->next)
        forget(remotes, item->data);
}

MuxRemotes *mux_remotes_new(MuxLink *link)
{
    MuxRemotes *remotes = g_new0(MuxRemotes, 1);

    remotes->link = link;
    remotes->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, remote_free);
    return remotes;
}

MuxRemotes *mux_remotes_free(MuxRemotes *remotes)
{
    if (!remotes)
        return NULL;
    g_hash_table_unref(remotes->by_name);
    g_free(remotes);
    return NULL;
}

// --- showing

static gint compare(gconstpointer a, gconstpointer b)
{
    return strcmp(((const MuxRemote *)a)->name, ((const MuxRemote *)b)->name);
}

size_t mux_remotes_bytes(const MuxRemotes *remotes)
{
    return remotes->bytes;
}

unsigned mux_remotes_count(const MuxRemotes *remotes)
{
    return g_hash_table_size(remotes->by_name);
}

GList *mux_remotes_sorted(const MuxRemotes *remotes)
{
    return g_list_sort(g_hash_table_get_values(remotes->by_name), compare);
}

json_object *mux_remote_json(const MuxLink *link, const MuxRemote *remote)
{
    json_object *object = json_object_new_object();
    bool host = link->relay->role == MUX_HOST;
    g_autofree char *name =
        host ? g_strdup_printf("%s/%s", link->name, remote->name) : g_strdup(remote->name);

    json_object_object_add(object, "name", json_object_new_string(name));
    json_object_object_add(object, "link", json_object_new_string(link->name));
    json_object_object_add(object, "service", json_object_new_string(remote->name));
    mux_facts_add(object, remote->facts.description, remote->facts.properties);
    return object;
}
