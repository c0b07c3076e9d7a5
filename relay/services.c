// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// On a reload everything is read first and then compared with what is in force; a file that is
// broken now keeps what it said before, and a service whose file is gone is gone. A registration
// ends when its connection does, when that says so, or when a file takes the name.

#include "services.h"

#include <gio/gio.h>
#include <string.h>

#include "control.h"
#include "proto/limits.h"
#include "services-private.h"

#define LOGS_BURST      50
#define LOGS_PER_SECOND 1

// Each is announced to every VM.
#define REGISTERED_MAX      512
#define KEPT_FOR_PRIVILEGED 64

MuxServices *mux_services_new(const struct rlimit *descriptors, MuxServicesChanged changed,
                              void *user)
{
    MuxServices *services = g_new0(MuxServices, 1);

    services->descriptors = *descriptors;
    services->changed = changed;
    services->user = user;
    mux_bucket_init(&services->log, LOGS_BURST, LOGS_PER_SECOND, (uint64_t)g_get_monotonic_time());
    services->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)mux_service_unref);
    services->complaints = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    mux_list_init(&services->children);
    return services;
}

MuxServices *mux_services_free(MuxServices *services)
{
    if (!services)
        return NULL;
    mux_children_end(services);
    g_hash_table_unref(services->by_name);
    g_hash_table_unref(services->complaints);
    g_free(services);
    return NULL;
}

MuxService *mux_services_find(const MuxServices *services, const char *name, size_t length)
{
    char key[MUX_SERVICE_MAX + 1];

    if (length > MUX_SERVICE_MAX)
        return NULL;
    memcpy(key, name, length);
    key[length] = '\0';
    return g_hash_table_lookup(services->by_name, key);
}

static MuxService *lookup(const MuxServices *services, const char *name)
{
    return g_hash_table_lookup(services->by_name, name);
}

// --- coming and going

static void add(MuxServices *services, MuxService *service)
{
    g_hash_table_insert(services->by_name, service->name, service);
    services->changed(services->user, service, MUX_ADDED);
}

// Channels that it has go on.
static void drop(MuxServices *services, MuxService *service)
{
    services->changed(services->user, service, MUX_REMOVED);
    service->registrant = NULL;
    g_hash_table_remove(services->by_name, service->name);
}

// Who registered it, for people.
static const char *holder_text(const MuxService *service, char *text, size_t size)
{
    json_object *program = NULL, *uid = NULL;

    (void)json_object_object_get_ex(service->holder, "program", &program);
    (void)json_object_object_get_ex(service->holder, "uid", &uid);
    g_snprintf(text, (gulong)size, "%s (uid %" G_GINT64_FORMAT ")", json_object_get_string(program),
               json_object_get_int64(uid));
    return text;
}

int mux_services_register(MuxServices *services, MuxService *service, MuxControl *registrant,
                          json_object *holder, bool privileged, GError **error)
{
    unsigned most = REGISTERED_MAX - (privileged ? 0 : KEPT_FOR_PRIVILEGED);
    const MuxService *held = lookup(services, service->name);
    int r = held                                              ? MUX_REGISTER_TAKEN
            : mux_services_registered(services, NULL) >= most ? MUX_REGISTER_LIMIT
                                                              : 0;
    char who[64];

    service->holder = holder;
    if (r == 0) {
        service->registrant = registrant;
        add(services, service);
        return 0;
    }
    if (r == MUX_REGISTER_LIMIT)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%u services are registered already",
                    most);
    else
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "'%s' is held by %s", service->name,
                    held->file ? held->file : holder_text(held, who, sizeof(who)));
    mux_service_unref(service);
    return r;
}

bool mux_services_unregister(MuxServices *services, MuxControl *registrant, const char *name)
{
    g_autoptr(GList) all = g_hash_table_get_values(services->by_name);
    bool found = false;

    for (GList *item = all; item; item = item->next) {
        MuxService *service = item->data;
        if (service->registrant != registrant || (name && strcmp(service->name, name) != 0))
            continue;
        drop(services, service);
        found = true;
    }
    return found;
}

void mux_services_review(MuxServices *services, bool (*may)(const MuxService *service))
{
    g_autoptr(GList) all = g_hash_table_get_values(services->by_name);

    for (GList *item = all; item; item = item->next) {
        MuxService *service = item->data;
        if (!service->registrant || may(service))
            continue;
        mux_control_unregistered(service->registrant, service->name, "the policy has changed");
        drop(services, service);
    }
}

unsigned mux_services_registered(const MuxServices *services, const MuxControl *registrant)
{
    unsigned count = 0;
    GHashTableIter iter;
    gpointer service;

    g_hash_table_iter_init(&iter, services->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &service)) {
        const MuxControl *of = ((const MuxService *)service)->registrant;
        count += registrant ? of == registrant : of != NULL;
    }
    return count;
}

// --- files

// A registration's name was taken by a file.
static void give_way(MuxServices *services, MuxService *service, const char *file)
{
    MuxControl *registrant = service->registrant;
    g_autofree char *why = g_strdup_printf("%s took the name", file);
    char who[64];

    g_message("service %s: %s; what %s registered ends", service->name, why,
              holder_text(service, who, sizeof(who)));
    mux_control_unregistered(registrant, service->name, why);
    drop(services, service);
}

static void take_file(MuxServices *services, MuxService *fresh)
{
    MuxService *service = lookup(services, fresh->name);

    if (service && service->registrant) {
        give_way(services, service, fresh->file);
        service = NULL;
    }
    if (!service) {
        add(services, fresh);
        return;
    }
    bool same = mux_service_looks_like(service, fresh);
    mux_service_replace(service, fresh);
    if (!same)
        services->changed(services->user, service, MUX_CHANGED);
}

// Files that are gone, or in another folder now.
static void drop_missing(MuxServices *services, GHashTable *files)
{
    g_autoptr(GList) all = g_hash_table_get_values(services->by_name);

    for (GList *item = all; item; item = item->next) {
        MuxService *service = item->data;
        if (service->file && !g_hash_table_contains(files, service->file))
            drop(services, service);
    }
}

// Something stays in force of a file that cannot be read now, if it could be before.
static void complain(MuxServices *services, const char *file, const GError *why)
{
    g_autofree char *base = g_path_get_basename(file);
    const MuxService *service = mux_services_find(services, base, strlen(base) - strlen(".json"));
    bool before = service && g_strcmp0(service->file, file) == 0;

    if (g_strcmp0(g_hash_table_lookup(services->complaints, file), why->message) == 0)
        return;
    g_hash_table_replace(services->complaints, g_strdup(file), g_strdup(why->message));

    g_warning("%s%s", why->message, before ? "; what it said before stays in force" : "");
}

// About files that are gone.
static void forget_complaints(MuxServices *services, GHashTable *files)
{
    GHashTableIter iter;
    gpointer file;

    g_hash_table_iter_init(&iter, services->complaints);
    while (g_hash_table_iter_next(&iter, &file, NULL))
        if (!g_hash_table_contains(files, file))
            g_hash_table_iter_remove(&iter);
}

bool mux_services_load(MuxServices *services, const char *folder, bool all, GError **error)
{
    g_autoptr(GDir) dir = folder ? g_dir_open(folder, 0, error) : NULL;
    if (folder && !dir)
        return false;
    if (all)
        g_hash_table_remove_all(services->complaints);

    g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) fresh = g_ptr_array_new();
    for (const char *entry; dir && (entry = g_dir_read_name(dir));) {
        g_autoptr(GError) why = NULL;
        // An editor's or package manager's half-written file has another ending, or a dot in front.
        if (entry[0] == '.' || !g_str_has_suffix(entry, ".json"))
            continue;
        char *file = g_build_filename(folder, entry, NULL);
        g_hash_table_add(files, file);
        MuxService *service = mux_service_load(file, &why);
        if (!service) {
            complain(services, file, why);
            continue;
        }
        g_hash_table_remove(services->complaints, file);
        g_ptr_array_add(fresh, service);
    }
    forget_complaints(services, files);
    drop_missing(services, files);
    for (guint i = 0; i < fresh->len; i++)
        take_file(services, g_ptr_array_index(fresh, i));
    if (folder)
        g_info("%u services in force; %u files of %s are good, %u are not",
               mux_services_count(services), fresh->len, folder,
               g_hash_table_size(files) - fresh->len);
    return true;
}

// --- showing

unsigned mux_services_count(const MuxServices *services)
{
    return g_hash_table_size(services->by_name);
}

GList *mux_services_sorted(const MuxServices *services)
{
    GList *names = g_list_sort(g_hash_table_get_keys(services->by_name), (GCompareFunc)strcmp);

    for (GList *item = names; item; item = item->next)
        item->data = lookup(services, item->data);
    return names;
}

json_object *mux_services_json(const MuxServices *services)
{
    json_object *list = json_object_new_array();
    g_autoptr(GList) all = mux_services_sorted(services);

    for (GList *item = all; item; item = item->next)
        json_object_array_add(list, mux_service_json(item->data));
    return list;
}
