// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// First a table of name to port is made and checked as a whole, then the links are compared with
// it. That is done for the configuration, and with the same configuration again whenever something
// changes where VMs are looked for.

#include "vms.h"

#include <gio/gio.h>
#include <string.h>

#include "patterns.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "relay/events.h"
#include "relay/json.h"
#include "relay/link.h"
#include "relay/watcher.h"

struct MuxVms {
    MuxRelay *relay;
    char **options;
    json_object *config; // in force; NULL for none
    MuxPatterns *patterns;
    MuxWatcher *watcher;
    GHashTable *table; // in force: name to port
};

static bool add_vm(GHashTable *table, const char *name, const char *port, GError **error)
{
    size_t service;

    // The same characters as a service's, so that VM/service can be taken apart.
    if (!mux_name_valid(name, strlen(name), &service) || name[service] != '\0') {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "VM '%s': a VM's name is 1 to %d of A-Z a-z 0-9 . _ -", name, MUX_SERVICE_MAX);
        return false;
    }
    if (!g_str_has_prefix(port, "unix:") && !g_str_has_prefix(port, "listen:")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "VM '%s': its port must be unix:PATH or listen:PATH, not '%s'", name, port);
        return false;
    }
    // The command line was first, and stays.
    if (!g_hash_table_contains(table, name))
        g_hash_table_insert(table, g_strdup(name), g_strdup(port));
    return true;
}

static bool add_option(GHashTable *table, const char *option, GError **error)
{
    g_autoptr(GError) why = NULL;
    const char *equals = strchr(option, '=');
    g_autofree char *name = equals ? g_strndup(option, (gsize)(equals - option)) : NULL;

    if (!name)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--vm %s: write NAME=unix:PATH or NAME=listen:PATH", option);
    else if (g_hash_table_contains(table, name))
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--vm %s: '%s' is given twice",
                    option, name);
    else if (!add_vm(table, name, equals + 1, &why))
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--vm %s: %s", option,
                    why->message);
    else
        return true;
    return false;
}

static bool add_configured(GHashTable *table, json_object *vms, GError **error)
{
    static const char *const known[] = {"port", NULL};

    json_object_object_foreach(vms, name, vm)
    {
        const char *port = NULL;
        if (!json_object_is_type(vm, json_type_object)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"vms\": \"%s\" must be an object", name);
            return false;
        }
        if (!mux_json_known(vm, known, error) || !mux_json_string(vm, "port", &port, error) ||
            !add_vm(table, name, port ? port : "", error)) {
            g_prefix_error(error, "\"vms\": \"%s\": ", name);
            return false;
        }
    }
    return true;
}

static bool fits(const MuxLink *link, const char *port)
{
    return link && strcmp(mux_port_spec(link->port), port) == 0;
}

// A link for every VM in the table that has none of that port. NULL with an error.
static GPtrArray *make_missing(MuxRelay *relay, GHashTable *table, GError **error)
{
    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func(mux_link_destroy);
    GHashTableIter iter;
    gpointer name, port;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &name, &port)) {
        if (fits(mux_relay_find(relay, name, strlen(name)), port))
            continue;
        MuxLink *link = mux_link_new(relay, name, port, error);
        if (!link) {
            g_prefix_error(error, "VM '%s': ", (const char *)name);
            return NULL;
        }
        g_ptr_array_add(links, link);
    }
    return g_steal_pointer(&links);
}

static void drop_others(MuxRelay *relay, GHashTable *table)
{
    for (guint i = relay->links->len; i-- > 0;) {
        MuxLink *link = g_ptr_array_index(relay->links, i);
        const char *port = g_hash_table_lookup(table, link->name);
        if (!port || !fits(link, port)) {
            g_message("link %s: %s is not configured, or there, any more", link->name,
                      mux_port_spec(link->port));
            mux_event_link(link, MUX_REMOVED);
            g_ptr_array_remove_index(relay->links, i);
        }
    }
}

static GHashTable *new_table(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static bool apply(MuxVms *vms, json_object *config, MuxPatterns *patterns, GError **error)
{
    g_autoptr(GHashTable) table = new_table();

    for (char **option = vms->options; option && *option; option++)
        if (!add_option(table, *option, error))
            return false;
    if (config && !add_configured(table, config, error))
        return false;
    mux_patterns_find(patterns, vms->table, table);

    // The new ones first: if one cannot be made, nothing was changed.
    g_autoptr(GPtrArray) fresh = make_missing(vms->relay, table, error);
    if (!fresh)
        return false;
    drop_others(vms->relay, table);
    for (guint i = 0; i < fresh->len; i++) {
        const MuxLink *link = g_ptr_array_index(fresh, i);
        g_info("link %s: at %s", link->name, mux_port_spec(link->port));
        mux_event_link(link, MUX_ADDED);
    }
    g_ptr_array_extend_and_steal(vms->relay->links, g_steal_pointer(&fresh));
    g_hash_table_unref(vms->table);
    vms->table = g_steal_pointer(&table);
    return true;
}

// --- what is found

static void watch(MuxVms *vms)
{
    g_auto(GStrv) folders = mux_patterns_folders(vms->patterns);
    mux_watcher_set(vms->watcher, (const char *const *)folders);
}

static void look_again(void *user)
{
    MuxVms *vms = user;
    g_autoptr(GError) error = NULL;

    watch(vms); // first, so that nothing appears unseen
    (void)apply(vms, vms->config, vms->patterns, &error);
    if (error)
        g_warning("VMs that were found are not used: %s", error->message);
}

// --- its life

MuxVms *mux_vms_new(MuxRelay *relay, char **options)
{
    MuxVms *vms = g_new0(MuxVms, 1);

    vms->relay = relay;
    vms->options = options;
    vms->table = new_table();
    return vms;
}

MuxVms *mux_vms_free(MuxVms *vms)
{
    if (!vms)
        return NULL;
    mux_watcher_free(vms->watcher);
    mux_patterns_free(vms->patterns);
    json_object_put(vms->config);
    g_hash_table_unref(vms->table);
    g_free(vms);
    return NULL;
}

bool mux_vms_configure(MuxVms *vms, json_object *config, char **patterns, GError **error)
{
    MuxPatterns *fresh = mux_patterns_new(patterns, error);

    if (!fresh || !apply(vms, config, fresh, error)) {
        mux_patterns_free(fresh);
        return false;
    }
    mux_patterns_free(vms->patterns);
    vms->patterns = fresh;
    json_object_put(vms->config);
    vms->config = json_object_get(config);
    if (patterns && !vms->watcher)
        vms->watcher = mux_watcher_new(vms->relay->loop, look_again, vms);
    if (vms->watcher)
        look_again(vms);
    if (vms->relay->links->len == 0)
        g_message("no VMs yet; add one with --vm NAME=unix:PATH, or in the configuration");
    return true;
}
