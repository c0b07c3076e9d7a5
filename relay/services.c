// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each NAME.json of a folder is one service. On a reload everything is read first and then put in
// force at once; a file that is broken now keeps what it said before, and a service whose file is
// gone is gone.

#include "services.h"

#include <gio/gio.h>
#include <string.h>

#include "json.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "services-private.h"

// A channel to an exec service is a process, and it is the other side that opens channels.
#define MAX_CHANNELS_EXEC    64
#define MAX_CHANNELS_CONNECT MUX_CHANNELS_DEFAULT

#define LOGS_BURST      50
#define LOGS_PER_SECOND 1

static void service_clear(gpointer pointer)
{
    MuxService *service = pointer;

    g_free(service->name);
    g_free(service->file);
    g_free(service->target);
    g_free(service->description);
    g_clear_pointer(&service->uses, g_hash_table_unref);
    g_strfreev(service->argv);
    g_strfreev(service->vms);
}

MuxService *mux_service_ref(MuxService *service)
{
    return g_rc_box_acquire(service);
}

void mux_service_unref(MuxService *service)
{
    g_rc_box_release_full(service, service_clear);
}

MuxServices *mux_services_new(const struct rlimit *descriptors)
{
    MuxServices *services = g_new0(MuxServices, 1);

    services->descriptors = *descriptors;
    mux_bucket_init(&services->log, LOGS_BURST, LOGS_PER_SECOND, (uint64_t)g_get_monotonic_time());
    services->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)mux_service_unref);
    mux_list_init(&services->children);
    return services;
}

MuxServices *mux_services_free(MuxServices *services)
{
    if (!services)
        return NULL;
    mux_children_end(services);
    g_hash_table_unref(services->by_name);
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

MuxUse *mux_service_use(MuxService *service, const char *vm)
{
    MuxUse *use = g_hash_table_lookup(service->uses, vm);

    if (!use) {
        use = g_new0(MuxUse, 1);
        g_hash_table_insert(service->uses, g_strdup(vm), use);
    }
    return use;
}

bool mux_service_allows(const MuxService *service, const char *vm)
{
    if (!service->vms)
        return true;
    for (char **pattern = service->vms; *pattern; pattern++)
        if (g_pattern_match_simple(*pattern, vm))
            return true;
    return false;
}

// --- reading

static bool check_name(const char *name, const char *file, GError **error)
{
    g_autofree char *base = g_path_get_basename(file);
    size_t length = name ? strlen(name) : 0, service;

    if (!name || !mux_name_valid(name, length, &service) || service != length)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"service\" must be a name of 1 to %d of A-Z a-z 0-9 . _ -", MUX_SERVICE_MAX);
    else if (strncmp(base, name, length) != 0 || strcmp(base + length, ".json") != 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"service\" is '%s', so the file must be named %s.json", name, name);
    else
        return true;
    return false;
}

static bool read_target(MuxService *service, json_object *object, GError **error)
{
    const char *connect = NULL;

    if (!mux_json_string(object, "connect", &connect, error) ||
        !mux_json_strings(object, "exec", &service->argv, error))
        return false;
    if (!connect == !service->argv) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "one of \"connect\" and \"exec\" is needed");
        return false;
    }
    if (service->argv) {
        service->target = g_strjoinv(" ", service->argv);
        if (g_path_is_absolute(service->argv[0]))
            return true;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"exec\" must begin with an absolute path, not '%s'", service->argv[0]);
        return false;
    }
    service->target = g_strdup(connect);
    return mux_address_parse(connect, &service->address, error);
}

static bool read_service(MuxService *service, json_object *object, GError **error)
{
    static const char *const known[] = {"service",      "connect",     "exec", "vms",
                                        "max_channels", "description", NULL};
    const char *name = NULL, *description = NULL;
    guint64 max_channels = 0;

    if (!mux_json_known(object, known, error) ||
        !mux_json_string(object, "service", &name, error) ||
        !check_name(name, service->file, error) || !read_target(service, object, error) ||
        !mux_json_strings(object, "vms", &service->vms, error) ||
        !mux_json_number(object, "max_channels", 1, G_MAXUINT32, &max_channels, error) ||
        !mux_json_string(object, "description", &description, error))
        return false;
    service->name = g_strdup(name);
    service->max_channels = max_channels    ? (guint32)max_channels
                            : service->argv ? MAX_CHANNELS_EXEC
                                            : MAX_CHANNELS_CONNECT;
    service->description = g_strdup(description ? description : "");
    return true;
}

static MuxService *load_service(const char *file, GError **error)
{
    json_object *object = mux_json_load(file, error);
    if (!object)
        return NULL;

    MuxService *service = g_rc_box_new0(MuxService);
    service->file = g_strdup(file);
    service->uses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    bool good = read_service(service, object, error);
    json_object_put(object);
    if (good)
        return service;
    g_prefix_error(error, "%s: ", file);
    mux_service_unref(service);
    return NULL;
}

// What stays in force of a file that cannot be read now.
static MuxService *keep(const MuxServices *services, const char *file, const GError *why)
{
    GHashTableIter iter;
    gpointer service;

    g_hash_table_iter_init(&iter, services->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &service)) {
        if (strcmp(((MuxService *)service)->file, file) == 0) {
            g_warning("%s; what it said before stays in force", why->message);
            return mux_service_ref(service);
        }
    }
    g_warning("%s", why->message);
    return NULL;
}

// What the file says now. A service that there was before stays the same object, so that its
// channels go on being counted.
static MuxService *renew(const MuxServices *services, MuxService *fresh)
{
    MuxService *service = g_hash_table_lookup(services->by_name, fresh->name);
    if (!service)
        return fresh;

    MuxService before = *service;
    *service = *fresh;
    *fresh = before;
    fresh->name = service->name;
    service->name = before.name; // the table's key
    fresh->uses = service->uses;
    service->uses = before.uses;
    mux_service_unref(fresh);
    return mux_service_ref(service);
}

bool mux_services_load(MuxServices *services, const char *folder, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
    if (!dir)
        return false;

    GHashTable *fresh =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)mux_service_unref);
    for (const char *entry; (entry = g_dir_read_name(dir));) {
        g_autoptr(GError) why = NULL;
        g_autofree char *file = g_build_filename(folder, entry, NULL);
        // An editor's or package manager's half-written file has another ending, or a dot in front.
        if (entry[0] == '.' || !g_str_has_suffix(entry, ".json"))
            continue;
        MuxService *service = load_service(file, &why);
        service = service ? renew(services, service) : keep(services, file, why);
        if (service)
            g_hash_table_insert(fresh, service->name, service);
    }
    g_hash_table_unref(services->by_name);
    services->by_name = fresh;
    g_info("%u services loaded from %s", g_hash_table_size(fresh), folder);
    return true;
}

// --- showing

static guint32 count_channels(const MuxService *service)
{
    guint32 count = 0;
    GHashTableIter iter;
    gpointer use;

    g_hash_table_iter_init(&iter, service->uses);
    while (g_hash_table_iter_next(&iter, NULL, &use))
        count += ((const MuxUse *)use)->channels;
    return count;
}

static json_object *service_json(const MuxService *service)
{
    json_object *object = json_object_new_object();

    json_object_object_add(object, "service", json_object_new_string(service->name));
    json_object_object_add(object, service->argv ? "exec" : "connect",
                           json_object_new_string(service->target));
    json_object_object_add(object, "description", json_object_new_string(service->description));
    json_object_object_add(object, "channels", json_object_new_int64(count_channels(service)));
    json_object_object_add(object, "max_channels", json_object_new_int64(service->max_channels));
    json_object_object_add(object, "file", json_object_new_string(service->file));
    return object;
}

json_object *mux_services_json(const MuxServices *services)
{
    json_object *list = json_object_new_array();
    g_autoptr(GList) names =
        g_list_sort(g_hash_table_get_keys(services->by_name), (GCompareFunc)strcmp);

    for (GList *name = names; name; name = name->next)
        json_object_array_add(list,
                              service_json(g_hash_table_lookup(services->by_name, name->data)));
    return list;
}
