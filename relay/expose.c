// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A socket is known by its path. On a reload, one that is exposed already and is still there stays,
// with those who wait at it, whatever else has changed about it. New ones are made before old ones
// go, so that nothing has changed if one of them cannot be made.

#include "expose.h"

#include <gio/gio.h>
#include <string.h>

#include "apps.h"
#include "json.h"
#include "listener.h"
#include "open.h"
#include "peer.h"
#include "proto/name.h"

typedef struct Exposed {
    MuxListener listener; // open, unless it stands for one that stays
    MuxRelay *relay;
    char *path;
    char *name; // what is opened; on the host VM/service
    MuxAccess access;
    struct Exposed *stays; // while it is prepared: the one in force, which this one is to change
} Exposed;

struct MuxExposes {
    MuxRelay *relay;
    GPtrArray *all;  // of Exposed, owned
    GPtrArray *next; // that are prepared; NULL: nothing is
};

static void exposed_free(gpointer pointer)
{
    Exposed *exposed = pointer;

    mux_listener_close(&exposed->listener);
    g_free(exposed->path);
    g_free(exposed->name);
    g_free(exposed);
}

MuxExposes *mux_exposes_new(MuxRelay *relay)
{
    MuxExposes *exposes = g_new0(MuxExposes, 1);

    exposes->relay = relay;
    exposes->all = g_ptr_array_new_with_free_func(exposed_free);
    return exposes;
}

MuxExposes *mux_exposes_free(MuxExposes *exposes)
{
    if (!exposes)
        return NULL;
    g_ptr_array_unref(exposes->all);
    g_free(exposes);
    return NULL;
}

// --- connections

static void on_connection(void *user, int fd)
{
    const Exposed *exposed = user;
    MuxPeer peer = {0};

    (void)mux_peer_read(fd, &peer);
    mux_open(exposed->relay, fd, exposed->name, MUX_ANSWERS_NONE, &peer);
    mux_peer_clear(&peer);
}

static void on_listener(MuxWatch *watch)
{
    Exposed *exposed = mux_container(watch, Exposed, listener.watch);

    mux_apps_accept(exposed->relay->apps, &exposed->listener, on_connection, exposed);
}

// --- reading

static bool complain(GError **error, const char *key, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" %s", key, what);
    return false;
}

static bool is_name(const char *name, size_t length, bool argument)
{
    size_t service;

    return mux_name_valid(name, length, &service) && (argument || service == length);
}

static bool check_service(const MuxRelay *relay, const char *name, GError **error)
{
    const char *slash = strchr(name, '/');

    if (relay->role == MUX_GUEST)
        return is_name(name, strlen(name), true) ||
               complain(error, "service", "must be a service's name, and :argument if it has one");
    return (slash && is_name(name, (size_t)(slash - name), false) &&
            is_name(slash + 1, strlen(slash + 1), true)) ||
           complain(error, "service", "must be VM/service, and :argument if it has one");
}

static bool read_exposed(json_object *object, Exposed *exposed, GError **error)
{
    static const char *const known[] = {"socket", "service", "mode", "owner", "group", NULL};
    const char *path = NULL, *name = NULL;

    if (!mux_json_known(object, known, error) || !mux_json_string(object, "socket", &path, error) ||
        !mux_json_string(object, "service", &name, error) ||
        !mux_access_read(object, "", &exposed->access, error))
        return false;
    if (!path || path[0] == '\0')
        return complain(error, "socket", "must be a path");
    if (!check_service(exposed->relay, name ? name : "", error))
        return false;
    exposed->path = g_strdup(path);
    exposed->name = g_strdup(name);
    return true;
}

static Exposed *find(const GPtrArray *all, const char *path)
{
    for (guint i = 0; i < all->len; i++) {
        Exposed *exposed = g_ptr_array_index(all, i);
        if (strcmp(exposed->path, path) == 0)
            return exposed;
    }
    return NULL;
}

// --- changing

// Makes its socket, or finds the one that stays.
static bool open_exposed(Exposed *exposed, const GPtrArray *all, GError **error)
{
    Exposed *before = find(all, exposed->path);

    if (before && mux_listener_is_there(&before->listener)) {
        exposed->stays = before;
        return mux_access_equal(&exposed->access, &before->access) ||
               mux_listener_set_access(&before->listener, &exposed->access, error);
    }
    return mux_listener_make_folder(exposed->path, error) &&
           mux_listener_open(&exposed->listener, exposed->relay->loop, exposed->path,
                             &exposed->access, on_listener, error);
}

static bool add(MuxExposes *exposes, json_object *object, GError **error)
{
    Exposed *exposed = g_new0(Exposed, 1);

    exposed->relay = exposes->relay;
    exposed->access = MUX_ACCESS(0666);
    mux_listener_init(&exposed->listener);
    bool good = read_exposed(object, exposed, error);
    if (good && find(exposes->next, exposed->path))
        good = complain(error, "socket", "is that of another one in the list, too");
    g_ptr_array_add(exposes->next, exposed);
    return good;
}

static bool read_list(MuxExposes *exposes, json_object *list, GError **error)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *object = json_object_array_get_idx(list, i);
        if (!json_object_is_type(object, json_type_object)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"expose\": " MUX_JSON_NUMBER "%zu must be an object", i + 1);
            return false;
        }
        if (!add(exposes, object, error)) {
            g_prefix_error(error, "\"expose\": " MUX_JSON_NUMBER "%zu: ", i + 1);
            return false;
        }
    }
    return true;
}

static bool open_list(MuxExposes *exposes, GError **error)
{
    for (guint i = 0; i < exposes->next->len; i++) {
        if (open_exposed(g_ptr_array_index(exposes->next, i), exposes->all, error))
            continue;
        g_prefix_error(error, "\"expose\": " MUX_JSON_NUMBER "%u: \"socket\": ", i + 1);
        return false;
    }
    return true;
}

bool mux_exposes_prepare(MuxExposes *exposes, json_object *list, GError **error)
{
    if (list && !json_object_is_type(list, json_type_array))
        return complain(error, "expose", "must be a list of objects");
    exposes->next = g_ptr_array_new_with_free_func(exposed_free);
    if (!list || (read_list(exposes, list, error) && open_list(exposes, error)))
        return true;
    mux_exposes_undo(exposes);
    return false;
}

void mux_exposes_undo(MuxExposes *exposes)
{
    if (!exposes->next)
        return;
    for (guint i = 0; i < exposes->next->len; i++) {
        const Exposed *exposed = g_ptr_array_index(exposes->next, i);
        Exposed *before = exposed->stays;
        if (before && !mux_access_equal(&exposed->access, &before->access))
            (void)mux_listener_set_access(&before->listener, &before->access, NULL);
    }
    g_clear_pointer(&exposes->next, g_ptr_array_unref);
}

// The one that stays becomes what was prepared, and takes its place in the list.
static void keep(MuxExposes *exposes, guint i)
{
    Exposed *fresh = g_ptr_array_index(exposes->next, i);
    Exposed *before = fresh->stays;
    guint index = 0;

    if (!before)
        return;
    // Who connected when it stood for something else, or let others in, must not get this.
    if (strcmp(before->name, fresh->name) != 0 ||
        !mux_access_equal(&before->access, &fresh->access))
        mux_listener_turn_away(&before->listener);
    before->access = fresh->access;
    g_free(before->name);
    before->name = g_steal_pointer(&fresh->name);
    exposed_free(fresh);
    (void)g_ptr_array_find(exposes->all, before, &index);
    exposes->next->pdata[i] = g_ptr_array_steal_index_fast(exposes->all, index);
}

void mux_exposes_commit(MuxExposes *exposes)
{
    GPtrArray *next = exposes->next;

    for (guint i = 0; i < next->len; i++) {
        const Exposed *exposed = g_ptr_array_index(next, i);
        if (!exposed->stays)
            g_info("%s stands for %s", exposed->path, exposed->name);
        keep(exposes, i);
    }
    g_ptr_array_unref(exposes->all);
    exposes->all = g_steal_pointer(&exposes->next);
}
