// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A rule is two lists, and lets in whoever is in one of them; without lists it lets everybody in.
// The rule for registering comes on top of the one for opening.

#include "policy.h"

#include <gio/gio.h>
#include <string.h>

#include "access.h"
#include "json.h"
#include "proto/limits.h"
#include "proto/name.h"

#define OTHERS  "*" // the entry for services without one
#define BUFFERS "@buffers"

typedef struct Rule {
    GArray *users, *groups; // of guint32; NULL: the key is not there
} Rule;

typedef struct Entry {
    Rule rule;
    Rule registering;
} Entry;

struct MuxPolicy {
    GHashTable *entries; // by service: Entry
};

static void rule_clear(Rule *rule)
{
    g_clear_pointer(&rule->users, g_array_unref);
    g_clear_pointer(&rule->groups, g_array_unref);
}

static void entry_free(gpointer pointer)
{
    Entry *entry = pointer;

    rule_clear(&entry->rule);
    rule_clear(&entry->registering);
    g_free(entry);
}

MuxPolicy *mux_policy_free(MuxPolicy *policy)
{
    if (!policy)
        return NULL;
    g_hash_table_unref(policy->entries);
    g_free(policy);
    return NULL;
}

// --- reading

static bool read_rule(json_object *object, Rule *rule, GError **error)
{
    return mux_access_users(object, "users", &rule->users, error) &&
           mux_access_groups(object, "groups", &rule->groups, error);
}

static bool read_registering(json_object *object, Rule *rule, GError **error)
{
    static const char *const known[] = {"users", "groups", NULL};
    json_object *value = NULL;

    if (!mux_json_object(object, "register", &value, error))
        return false;
    if (!value || (mux_json_known(value, known, error) && read_rule(value, rule, error)))
        return true;
    g_prefix_error(error, "\"register\": ");
    return false;
}

static bool read_entry(json_object *object, const char *name, Entry *entry, GError **error)
{
    static const char *const known[] = {"users", "groups", "register", NULL};
    static const char *const of_buffers[] = {"users", "groups", NULL};
    bool buffers = strcmp(name, BUFFERS) == 0;

    return mux_json_known(object, buffers ? of_buffers : known, error) &&
           read_rule(object, &entry->rule, error) &&
           read_registering(object, &entry->registering, error);
}

static bool check_name(const char *name, GError **error)
{
    size_t length = strlen(name), service;

    if (strcmp(name, OTHERS) == 0 || strcmp(name, BUFFERS) == 0 ||
        (mux_name_valid(name, length, &service) && service == length))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "\"%s\" is no service: write a name of 1 to %d of A-Z a-z 0-9 . _ - that does not "
                "begin with - or ., \"*\" or \"@buffers\"",
                name, MUX_SERVICE_MAX);
    return false;
}

static bool add_entry(MuxPolicy *policy, json_object *object, const char *name, GError **error)
{
    json_object *value = NULL;

    if (!check_name(name, error) || !mux_json_object(object, name, &value, error))
        return false;
    Entry *entry = g_new0(Entry, 1);
    g_hash_table_insert(policy->entries, g_strdup(name), entry);
    if (read_entry(value, name, entry, error))
        return true;
    g_prefix_error(error, "\"%s\": ", name);
    return false;
}

MuxPolicy *mux_policy_new(json_object *object, GError **error)
{
    MuxPolicy *policy = g_new0(MuxPolicy, 1);

    policy->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        if (!add_entry(policy, object, name, error))
            return mux_policy_free(policy);
    }
    return policy;
}

// --- deciding

static const Entry *find_entry(const MuxPolicy *policy, const char *name, size_t length)
{
    const char *colon = memchr(name, ':', length);
    size_t service = colon ? (size_t)(colon - name) : length;
    char key[MUX_SERVICE_MAX + 1];
    const Entry *entry = NULL;

    if (service <= MUX_SERVICE_MAX) {
        memcpy(key, name, service);
        key[service] = '\0';
        entry = g_hash_table_lookup(policy->entries, key);
    }
    return entry ? entry : g_hash_table_lookup(policy->entries, OTHERS);
}

static bool in_groups(const GArray *groups, const MuxPeer *peer)
{
    for (guint i = 0; groups && i < groups->len; i++)
        if (mux_peer_in_group(peer, g_array_index(groups, guint32, i)))
            return true;
    return false;
}

static bool in_users(const GArray *users, const MuxPeer *peer)
{
    for (guint i = 0; users && peer->known && i < users->len; i++)
        if (peer->uid == g_array_index(users, guint32, i))
            return true;
    return false;
}

static bool rule_allows(const Rule *rule, const MuxPeer *peer)
{
    return (!rule->users && !rule->groups) || in_users(rule->users, peer) ||
           in_groups(rule->groups, peer);
}

bool mux_policy_allows(const MuxPolicy *policy, MuxPolicyAction action, const char *name,
                       size_t length, const MuxPeer *peer)
{
    const Entry *entry = policy ? find_entry(policy, name, length) : NULL;

    if (!entry || mux_peer_is_privileged(peer))
        return true;
    return rule_allows(&entry->rule, peer) &&
           (action != MUX_POLICY_REGISTER || rule_allows(&entry->registering, peer));
}
