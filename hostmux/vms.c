// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// First a table of the VMs is made and checked as a whole, then the links are compared with
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
#include "settings.h"

// As it is to be.
typedef struct MuxTable {
    GHashTable *ports;  // name to port
    GHashTable *memory; // name to MuxMemorySettings, of those that are configured
} MuxTable;

struct MuxVms {
    MuxRelay *relay;
    MuxMemory *memory;
    char **options;
    json_object *config; // in force; NULL for none
    MuxPatterns *patterns;
    MuxWatcher *watcher;
    MuxTable *table; // in force
};

static const char *vm_at(const MuxTable *table, const char *port)
{
    GHashTableIter iter;
    gpointer name, value;

    g_hash_table_iter_init(&iter, table->ports);
    while (g_hash_table_iter_next(&iter, &name, &value))
        if (strcmp(value, port) == 0)
            return name;
    return NULL;
}

static bool add_vm(MuxTable *table, const char *name, MuxVmSettings *settings, GError **error)
{
    const char *port = settings->port ? settings->port : "";
    size_t service;

    // The same characters as a service's, so that VM/service can be taken apart.
    if (!mux_name_valid(name, strlen(name), &service) || name[service] != '\0') {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "VM '%s': a VM's name is 1 to %d of A-Z a-z 0-9 . _ -, not beginning with - or .", name,
            MUX_SERVICE_MAX);
        return false;
    }
    if (!g_str_has_prefix(port, "unix:") && !g_str_has_prefix(port, "listen:")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "VM '%s': its port must be unix:PATH or listen:PATH, not '%s'", name, port);
        return false;
    }
    // The command line was first, and stays.
    if (g_hash_table_contains(table->ports, name))
        return true;
    const char *other = vm_at(table, port);
    if (other) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "VM '%s': its port, %s, is that of VM '%s', too", name, port, other);
        return false;
    }
    g_hash_table_insert(table->ports, g_strdup(name), g_strdup(port));
    g_hash_table_insert(table->memory, g_strdup(name),
                        g_memdup2(&settings->memory, sizeof(settings->memory)));
    settings->memory = (MuxMemorySettings){0};
    return true;
}

static bool add_option(MuxTable *table, const char *option, GError **error)
{
    g_autoptr(GError) why = NULL;
    MuxVmSettings settings = {0};
    const char *equals = strchr(option, '=');
    g_autofree char *name = equals ? g_strndup(option, (gsize)(equals - option)) : NULL;
    bool good = false;

    if (!name)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--vm %s: write NAME=unix:PATH or NAME=listen:PATH", option);
    else if (g_hash_table_contains(table->ports, name))
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--vm %s: '%s' is given twice",
                    option, name);
    else if (!mux_vm_settings_option(equals + 1, &settings, &why) ||
             !add_vm(table, name, &settings, &why))
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--vm %s: %s", option,
                    why->message);
    else
        good = true;
    mux_vm_settings_clear(&settings);
    return good;
}

static bool add_configured_one(MuxTable *table, const char *name, json_object *vm, GError **error)
{
    MuxVmSettings settings = {0};
    bool good = mux_vm_settings_json(vm, &settings, error) && add_vm(table, name, &settings, error);

    mux_vm_settings_clear(&settings);
    if (!good)
        g_prefix_error(error, "\"vms\": \"%s\": ", name);
    return good;
}

static bool add_configured(MuxTable *table, json_object *vms, GError **error)
{
    json_object_object_foreach(vms, name, vm)
    {
        if (!json_object_is_type(vm, json_type_object)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"vms\": \"%s\" must be an object", name);
            return false;
        }
        if (!add_configured_one(table, name, vm, error))
            return false;
    }
    return true;
}

// A VM that was found has none.
static const MuxMemorySettings *memory_of(const MuxTable *table, const char *name)
{
    static const MuxMemorySettings none;
    const MuxMemorySettings *memory = g_hash_table_lookup(table->memory, name);

    return memory ? memory : &none;
}

static bool has_port(const MuxLink *link, const char *port)
{
    return link && port && strcmp(mux_port_spec(link->port), port) == 0;
}

static bool fits(const MuxLink *link, const MuxTable *table)
{
    return has_port(link, g_hash_table_lookup(table->ports, link->name)) &&
           mux_memory_settings_equal(mux_memory_of(link), memory_of(table, link->name));
}

static MuxLink *make_link(MuxVms *vms, const MuxTable *table, const char *name, const char *port,
                          GError **error)
{
    const MuxMemorySettings *memory = memory_of(table, name);
    MuxMemorySettings copy = {.qmp = g_strdup(memory->qmp),
                              .shm_out = g_strdup(memory->shm_out),
                              .shm_in = g_strdup(memory->shm_in),
                              .no_offload = memory->no_offload};
    MuxLink *link = mux_link_new(vms->relay, name, port, error);

    if (link && !mux_memory_attach(vms->memory, link, &copy, error))
        link = mux_link_free(link);
    mux_memory_settings_clear(&copy);
    return link;
}

// A link for every VM in the table that has none of that port. NULL with an error.
static GPtrArray *make_missing(MuxVms *vms, const MuxTable *table, GError **error)
{
    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func(mux_link_destroy);
    GHashTableIter iter;
    gpointer name, port;

    g_hash_table_iter_init(&iter, table->ports);
    while (g_hash_table_iter_next(&iter, &name, &port)) {
        if (has_port(mux_relay_find(vms->relay, name, strlen(name)), port))
            continue;
        MuxLink *link = make_link(vms, table, name, port, error);
        if (!link) {
            g_prefix_error(error, "VM '%s': ", (const char *)name);
            return NULL;
        }
        g_ptr_array_add(links, link);
    }
    return g_steal_pointer(&links);
}

static void drop_others(MuxRelay *relay, const MuxTable *table)
{
    for (guint i = relay->links->len; i-- > 0;) {
        MuxLink *link = g_ptr_array_index(relay->links, i);
        if (!fits(link, table)) {
            g_message("link %s: %s is not configured like this, or there, any more", link->name,
                      mux_port_spec(link->port));
            mux_event_link(link, MUX_REMOVED);
            g_ptr_array_remove_index(relay->links, i);
        }
    }
}

static void free_memory(gpointer memory)
{
    mux_memory_settings_clear(memory);
    g_free(memory);
}

static MuxTable *table_new(void)
{
    MuxTable *table = g_new0(MuxTable, 1);

    table->ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    table->memory = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_memory);
    return table;
}

static void table_free(MuxTable *table)
{
    g_hash_table_unref(table->ports);
    g_hash_table_unref(table->memory);
    g_free(table);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MuxTable, table_free)

// The array becomes theirs.
static void add_links(MuxVms *vms, GPtrArray *fresh)
{
    for (guint i = 0; i < fresh->len; i++) {
        const MuxLink *link = g_ptr_array_index(fresh, i);
        g_info("link %s: at %s", link->name, mux_port_spec(link->port));
        mux_event_link(link, MUX_ADDED);
    }
    g_ptr_array_extend_and_steal(vms->relay->links, fresh);
}

// Those that stay at their port but have other memory: the port was not free before.
static void make_changed(MuxVms *vms, const MuxTable *table)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) fresh = make_missing(vms, table, &error);

    if (fresh)
        add_links(vms, g_steal_pointer(&fresh));
    else
        g_warning("a VM is not served any more: %s", error ? error->message : "it cannot be");
}

static bool apply(MuxVms *vms, json_object *config, MuxPatterns *patterns, GError **error)
{
    g_autoptr(MuxTable) table = table_new();

    for (char **option = vms->options; option && *option; option++)
        if (!add_option(table, *option, error))
            return false;
    if (config && !add_configured(table, config, error))
        return false;
    mux_patterns_find(patterns, vms->table->ports, table->ports);

    // The new ones first: if one cannot be made, nothing was changed.
    g_autoptr(GPtrArray) fresh = make_missing(vms, table, error);
    if (!fresh)
        return false;
    drop_others(vms->relay, table);
    add_links(vms, g_steal_pointer(&fresh));
    make_changed(vms, table);
    table_free(vms->table);
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

MuxVms *mux_vms_new(MuxRelay *relay, MuxMemory *memory, char **options)
{
    MuxVms *vms = g_new0(MuxVms, 1);

    vms->relay = relay;
    vms->memory = memory;
    vms->options = options;
    vms->table = table_new();
    return vms;
}

MuxVms *mux_vms_free(MuxVms *vms)
{
    if (!vms)
        return NULL;
    mux_watcher_free(vms->watcher);
    mux_patterns_free(vms->patterns);
    json_object_put(vms->config);
    table_free(vms->table);
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
