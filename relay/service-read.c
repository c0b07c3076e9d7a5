// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Services from the JSON of a file or of a registration; each key is checked, and an error names
// it.

#include <gio/gio.h>
#include <string.h>

#include "json.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "service.h"

// A channel to an exec service is a process, and it is the other side that opens channels.
#define MAX_CHANNELS_EXEC  64
#define MAX_CHANNELS_OTHER MUX_CHANNELS_DEFAULT

// Facts are kept by the other side for each of its links, and are sent with each change.
#define PATTERNS_MAX   64
#define PROPERTIES_MAX 32
#define FACTS_MAX      4096
#define SHOWN_MAX      64

// --- what it says of itself

static bool complain(GError **error, const char *text)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
    return false;
}

// Sets *ret_size to the bytes of them all.
static bool check_properties(json_object *properties, size_t *ret_size, GError **error)
{
    size_t size = 0;

    if (json_object_object_length(properties) > PROPERTIES_MAX)
        return complain(error, "\"properties\" must be at most 32");
    json_object_object_foreach(properties, key, value)
    {
        if (key[0] == '\0' || !mux_json_is_text(value)) {
            g_autofree char *shown =
                g_utf8_substring(key, 0, MIN(g_utf8_strlen(key, -1), SHOWN_MAX));
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"properties\": \"%s\" must be a name with a string", shown);
            return false;
        }
        size += strlen(key) + (size_t)json_object_get_string_len(value);
    }
    *ret_size = size;
    return true;
}

bool mux_facts_read(json_object *object, MuxFacts *ret_facts, GError **error)
{
    const char *description = "";
    json_object *properties = NULL;
    size_t size = 0;

    if (!mux_json_string(object, "description", &description, error) ||
        !mux_json_object(object, "properties", &properties, error) ||
        (properties && !check_properties(properties, &size, error)))
        return false;
    if (strlen(description) + size > FACTS_MAX)
        return complain(error, "\"description\" and \"properties\" must be at most 4096 bytes");
    ret_facts->size = strlen(description) + size;
    ret_facts->description = g_strdup(description);
    ret_facts->properties = properties ? json_object_get(properties) : json_object_new_object();
    return true;
}

// --- reading

static bool check_name(const char *name, GError **error)
{
    size_t length = name ? strlen(name) : 0, service;

    if (name && mux_name_valid(name, length, &service) && service == length)
        return true;
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "\"service\" must be a name of 1 to %d of A-Z a-z 0-9 . _ -, not beginning with - or .",
        MUX_SERVICE_MAX);
    return false;
}

static bool read_exec(MuxService *service, GError **error)
{
    service->kind = MUX_SERVICE_EXEC;
    service->target = g_strjoinv(" ", service->argv);
    if (g_path_is_absolute(service->argv[0]))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "\"exec\" must begin with an absolute path, not '%s'", service->argv[0]);
    return false;
}

static bool read_connect(MuxService *service, const char *connect, GError **error)
{
    service->kind = MUX_SERVICE_CONNECT;
    service->target = g_strdup(connect);
    if (mux_address_parse(connect, &service->address, error))
        return true;
    g_prefix_error(error, "\"connect\" ");
    return false;
}

static bool read_accept(MuxService *service, const char *accept, GError **error)
{
    service->kind = MUX_SERVICE_ACCEPT;
    service->target = g_strdup(accept);
    return strcmp(accept, "fd") == 0 || complain(error, "\"accept\" can only be \"fd\"");
}

static bool read_target(MuxService *service, json_object *object, bool file, GError **error)
{
    const char *connect = NULL, *accept = NULL;

    if (!mux_json_string(object, "connect", &connect, error) ||
        !mux_json_string(object, "accept", &accept, error) ||
        !mux_json_strings(object, "exec", &service->argv, error))
        return false;
    int targets = !!connect + !!accept + !!service->argv;
    if (targets > 1)
        return complain(error,
                        file ? "only one of \"connect\" and \"exec\" can be there"
                             : "only one of \"accept\", \"connect\" and \"exec\" can be there");
    if (targets < 1)
        return complain(error, file ? "one of \"connect\" and \"exec\" is needed"
                                    : "one of \"accept\", \"connect\" and \"exec\" is needed");
    if (service->argv)
        return read_exec(service, error);
    return connect ? read_connect(service, connect, error) : read_accept(service, accept, error);
}

static bool read_preamble(MuxService *service, json_object *object, GError **error)
{
    static const char *const words[] = {[MUX_PREAMBLE_NONE] = "none",
                                        [MUX_PREAMBLE_JSON] = "json",
                                        [MUX_PREAMBLE_PROXY] = "proxy-v2"};
    const char *word = "none";

    if (!mux_json_string(object, "preamble", &word, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            service->preamble = (MuxPreamble)i;
            return true;
        }
    }
    return complain(error, "\"preamble\" must be \"none\", \"json\" or \"proxy-v2\"");
}

static bool read_limits(MuxService *service, json_object *object, GError **error)
{
    guint64 channels = 0, opens = 0;

    if (!mux_json_number(object, "max_channels", 1, G_MAXUINT32, &channels, error) ||
        !mux_json_number(object, "max_opens_per_second", 1, 1000000, &opens, error))
        return false;
    service->max_channels = channels                            ? (guint32)channels
                            : service->kind == MUX_SERVICE_EXEC ? MAX_CHANNELS_EXEC
                                                                : MAX_CHANNELS_OTHER;
    service->max_opens = (guint32)opens;
    return true;
}

// They are compared with at each open.
static bool read_vms(MuxService *service, json_object *object, GError **error)
{
    if (!mux_json_strings(object, "vms", &service->vms, error))
        return false;
    return !service->vms || g_strv_length(service->vms) <= PATTERNS_MAX ||
           complain(error, "\"vms\" must be at most 64");
}

static bool read_service(MuxService *service, json_object *object, const char *const *known,
                         GError **error)
{
    const char *name = NULL;
    MuxFacts facts;

    if (!mux_json_known(object, known, error) ||
        !mux_json_string(object, "service", &name, error) || !check_name(name, error) ||
        !read_target(service, object, !g_strv_contains(known, "accept"), error) ||
        !read_preamble(service, object, error) || !read_vms(service, object, error) ||
        !read_limits(service, object, error) || !mux_facts_read(object, &facts, error))
        return false;
    service->name = g_strdup(name);
    service->description = facts.description;
    service->properties = facts.properties;
    return true;
}

static MuxService *service_new(json_object *object, const char *const *known, GError **error)
{
    MuxService *service = g_rc_box_new0(MuxService);

    service->uses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (read_service(service, object, known, error))
        return service;
    mux_service_unref(service);
    return NULL;
}

#define KEYS                                                                                       \
    "service", "connect", "exec", "vms", "max_channels", "max_opens_per_second", "preamble",       \
        "description", "properties"

static bool check_file(const MuxService *service, const char *file, GError **error)
{
    g_autofree char *base = g_path_get_basename(file);
    g_autofree char *wanted = g_strconcat(service->name, ".json", NULL);

    if (strcmp(base, wanted) == 0)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "\"service\" is '%s', so the file must be named %s", service->name, wanted);
    return false;
}

MuxService *mux_service_load(const char *file, GError **error)
{
    static const char *const known[] = {KEYS, NULL};
    json_object *object = mux_json_load(file, error);
    if (!object)
        return NULL;

    MuxService *service = service_new(object, known, error);
    if (service && !check_file(service, file, error)) {
        mux_service_unref(service);
        service = NULL;
    }
    if (service)
        service->file = g_strdup(file);
    else
        mux_json_blame(object, file, error);
    json_object_put(object);
    return service;
}

MuxService *mux_service_register(json_object *object, GError **error)
{
    static const char *const known[] = {"verb", "accept", KEYS, NULL};

    return service_new(object, known, error);
}
