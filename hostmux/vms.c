// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// First a table of name to port is made and checked as a whole, then the links are compared with
// it.

#include "vms.h"

#include <gio/gio.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/name.h"
#include "relay/json.h"
#include "relay/link.h"

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
            g_prefix_error(error, "\"vms\": ");
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
            g_message("link %s: not configured any more", link->name);
            g_ptr_array_remove_index(relay->links, i);
        }
    }
}

bool mux_vms_apply(MuxRelay *relay, char **options, json_object *vms, GError **error)
{
    g_autoptr(GHashTable) table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (char **option = options; option && *option; option++)
        if (!add_option(table, *option, error))
            return false;
    if (vms && !add_configured(table, vms, error))
        return false;

    // The new ones first: if one cannot be made, nothing was changed.
    g_autoptr(GPtrArray) fresh = make_missing(relay, table, error);
    if (!fresh)
        return false;
    drop_others(relay, table);
    g_ptr_array_extend_and_steal(relay->links, g_steal_pointer(&fresh));
    if (relay->links->len == 0)
        g_message("no VMs yet; add one with --vm NAME=unix:PATH, or in the configuration");
    return true;
}
