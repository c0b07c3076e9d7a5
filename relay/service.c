// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a service is once it was read (service-read.c): counted, compared, shown. Which services
// there are is in services.c.

#include "service.h"

#include <string.h>

static void service_clear(gpointer pointer)
{
    MuxService *service = pointer;

    g_free(service->name);
    g_free(service->file);
    g_free(service->target);
    g_free(service->description);
    json_object_put(service->properties);
    json_object_put(service->holder);
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

void mux_service_replace(MuxService *service, MuxService *fresh)
{
    MuxService before = *service;

    *service = *fresh;
    *fresh = before;
    // The name is a table's key; the counts are those of the channels that there are.
    fresh->name = service->name;
    service->name = before.name;
    fresh->uses = service->uses;
    service->uses = before.uses;
    mux_service_unref(fresh);
}

MuxUse *mux_service_use(MuxService *service, const char *vm)
{
    MuxUse *use = g_hash_table_lookup(service->uses, vm);

    if (!use) {
        use = g_new0(MuxUse, 1);
        mux_list_init(&use->waiting);
        mux_list_init(&use->line);
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

static bool same_patterns(char **a, char **b)
{
    return a && b ? g_strv_equal((const gchar *const *)a, (const gchar *const *)b) : a == b;
}

bool mux_service_looks_like(const MuxService *a, const MuxService *b)
{
    return strcmp(a->description, b->description) == 0 &&
           json_object_equal(a->properties, b->properties) && same_patterns(a->vms, b->vms);
}

// --- showing

void mux_facts_add(json_object *object, const char *description, json_object *properties)
{
    json_object_object_add(object, "description", json_object_new_string(description));
    json_object_object_add(object, "properties", json_object_get(properties));
}

json_object *mux_service_facts_json(const MuxService *service)
{
    json_object *object = json_object_new_object();

    json_object_object_add(object, "service", json_object_new_string(service->name));
    mux_facts_add(object, service->description, service->properties);
    return object;
}

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

json_object *mux_service_json(const MuxService *service)
{
    static const char *const kinds[] = {[MUX_SERVICE_CONNECT] = "connect",
                                        [MUX_SERVICE_EXEC] = "exec",
                                        [MUX_SERVICE_ACCEPT] = "accept"};
    json_object *object = mux_service_facts_json(service);

    json_object_object_add(object, kinds[service->kind], json_object_new_string(service->target));
    json_object_object_add(object, "channels", json_object_new_int64(count_channels(service)));
    json_object_object_add(object, "max_channels", json_object_new_int64(service->max_channels));
    if (service->file)
        json_object_object_add(object, "file", json_object_new_string(service->file));
    else
        json_object_object_add(object, "registered_by", json_object_get(service->holder));
    return object;
}
