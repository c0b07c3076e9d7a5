// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See settings.h.

#include "settings.h"

#include <gio/gio.h>
#include <string.h>

#include "proto/name.h"
#include "relay/address.h"
#include "relay/json.h"

#define SHARES_MAX 256

void mux_vm_settings_clear(MuxVmSettings *settings)
{
    g_clear_pointer(&settings->port, g_free);
    mux_memory_settings_clear(&settings->memory);
}

static bool complain(GError **error, const char *key, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" %s", key, what);
    return false;
}

static bool check(const MuxMemorySettings *memory, GError **error)
{
    const struct {
        const char *key, *path;
    } files[] = {{"shm-out", memory->shm_out}, {"shm-in", memory->shm_in}};
    MuxAddress address;

    if (memory->qmp && !g_str_has_prefix(memory->qmp, "unix:"))
        return complain(error, "qmp", "must be unix:PATH");
    if (memory->qmp && !mux_address_unix(memory->qmp + strlen("unix:"), &address, error)) {
        g_prefix_error(error, "\"qmp\": ");
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        if (files[i].path && files[i].path[0] != '/')
            return complain(error, files[i].key, "must be an absolute path");
    return true;
}

// --- the command line

// The part up to a comma that is not written twice; *text goes on behind it, or becomes NULL.
static char *next_part(const char **text)
{
    GString *part = g_string_new(NULL);
    const char *c = *text;

    for (; *c && (*c != ',' || c[1] == ','); c++) {
        c += *c == ',';
        g_string_append_c(part, *c);
    }
    *text = *c ? c + 1 : NULL;
    return g_string_free(part, FALSE);
}

static bool take_part(MuxMemorySettings *memory, const char *part, GError **error)
{
    struct {
        const char *key;
        char **value;
    } keys[] = {
        {"qmp=", &memory->qmp}, {"shm-out=", &memory->shm_out}, {"shm-in=", &memory->shm_in}};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (!g_str_has_prefix(part, keys[i].key))
            continue;
        g_free(*keys[i].value);
        *keys[i].value = g_strdup(part + strlen(keys[i].key));
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "'%s' is none of qmp=unix:PATH, shm-out=PATH, shm-in=PATH (a comma in a path is "
                "written twice)",
                part);
    return false;
}

bool mux_vm_settings_option(const char *text, MuxVmSettings *ret_settings, GError **error)
{
    MuxVmSettings settings = {.port = next_part(&text)};
    bool good = true;

    while (good && text) {
        g_autofree char *part = next_part(&text);
        good = take_part(&settings.memory, part, error);
    }
    if (good && check(&settings.memory, error)) {
        *ret_settings = settings;
        return true;
    }
    mux_vm_settings_clear(&settings);
    return false;
}

// --- the configuration

static bool read_flag(json_object *object, const char *key, bool *ret, GError **error)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    if (!json_object_is_type(value, json_type_boolean))
        return complain(error, key, "must be true or false");
    *ret = json_object_get_boolean(value);
    return true;
}

bool mux_vm_settings_json(json_object *vm, MuxVmSettings *ret_settings, GError **error)
{
    static const char *const known[] = {"port", "qmp", "shm-out", "shm-in", "offload", NULL};
    const char *port = NULL, *qmp = NULL, *out = NULL, *in = NULL;
    bool offload = true;

    if (!mux_json_known(vm, known, error) || !mux_json_string(vm, "port", &port, error) ||
        !mux_json_string(vm, "qmp", &qmp, error) || !mux_json_string(vm, "shm-out", &out, error) ||
        !mux_json_string(vm, "shm-in", &in, error) || !read_flag(vm, "offload", &offload, error))
        return false;
    MuxVmSettings settings = {.port = g_strdup(port),
                              .memory = {.qmp = g_strdup(qmp),
                                         .shm_out = g_strdup(out),
                                         .shm_in = g_strdup(in),
                                         .no_offload = !offload}};
    if (check(&settings.memory, error)) {
        *ret_settings = settings;
        return true;
    }
    mux_vm_settings_clear(&settings);
    return false;
}

// --- who shares what

static void sharing_free(gpointer pointer)
{
    MuxSharing *sharing = pointer;

    g_free(sharing->buffer);
    g_free(sharing->from);
    g_strfreev(sharing->to);
    g_free(sharing);
}

// A VM's, or a buffer's.
static bool is_name(const char *name)
{
    size_t length = strlen(name), word;

    return mux_name_valid(name, length, &word) && word == length;
}

static MuxSharing *read_sharing(json_object *object, GError **error)
{
    static const char *const known[] = {"buffer", "from", "to", NULL};
    const char *buffer = NULL, *from = NULL;
    g_auto(GStrv) to = NULL;

    if (!json_object_is_type(object, json_type_object)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "it must be an object");
        return NULL;
    }
    if (!mux_json_known(object, known, error) ||
        !mux_json_string(object, "buffer", &buffer, error) ||
        !mux_json_string(object, "from", &from, error) ||
        !mux_json_strings(object, "to", &to, error))
        return NULL;
    if (!buffer || !from || !to) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "it needs \"buffer\", \"from\" and \"to\"");
        return NULL;
    }
    if (!is_name(buffer)) {
        (void)complain(error, "buffer",
                       "must be one buffer's name, as programs in that VM have it");
        return NULL;
    }
    if (!is_name(from)) {
        (void)complain(error, "from", "must be one VM's name; patterns are for \"to\"");
        return NULL;
    }
    MuxSharing *sharing = g_new0(MuxSharing, 1);
    sharing->buffer = g_strdup(buffer);
    sharing->from = g_strdup(from);
    sharing->to = g_steal_pointer(&to);
    return sharing;
}

GPtrArray *mux_sharings_read(json_object *config, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(sharing_free);
    json_object *list = NULL;

    if (!json_object_object_get_ex(config, "shares", &list))
        return g_steal_pointer(&all);
    if (!json_object_is_type(list, json_type_array) ||
        json_object_array_length(list) > SHARES_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"shares\" must be a list of at most %d objects", SHARES_MAX);
        return NULL;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        MuxSharing *sharing = read_sharing(json_object_array_get_idx(list, i), error);
        if (!sharing) {
            g_prefix_error(error, "\"shares\": " MUX_JSON_NUMBER "%zu: ", i + 1);
            return NULL;
        }
        g_ptr_array_add(all, sharing);
    }
    return g_steal_pointer(&all);
}
