// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Names are looked up when the configuration is read, and never while anybody is served.

#include "access.h"

#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "json.h"

#define ID_MAX 0xfffffffeu // the one above is -1, which says "none" to the kernel

typedef enum Kind { USER, GROUP } Kind;

static bool complain(GError **error, const char *key, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" %s", key, what);
    return false;
}

static bool find_user(const char *name, guint32 *ret_id)
{
    // cppcheck-suppress getpwnamCalled ; there is one thread
    const struct passwd *user = getpwnam(name);

    if (user)
        *ret_id = user->pw_uid;
    return user;
}

static bool find_group(const char *name, guint32 *ret_id)
{
    // cppcheck-suppress getgrnamCalled ; there is one thread
    const struct group *group = getgrnam(name);

    if (group)
        *ret_id = group->gr_gid;
    return group;
}

static bool read_id(json_object *value, const char *key, Kind kind, guint32 *ret_id, GError **error)
{
    const char *what = kind == USER ? "user" : "group";
    const char *name = json_object_get_string(value);
    guint64 number;

    if (!mux_json_is_text(value) && !json_object_is_type(value, json_type_int)) {
        g_autofree char *text = g_strdup_printf("must be a %s's name or number", what);
        return complain(error, key, text);
    }
    // As chown does: a name, even if it looks like a number, before a number.
    if (kind == USER ? find_user(name, ret_id) : find_group(name, ret_id))
        return true;
    if (g_ascii_string_to_unsigned(name, 10, 0, ID_MAX, &number, NULL)) {
        *ret_id = (guint32)number;
        return true;
    }
    g_autofree char *text = g_strdup_printf("names '%s', and there is no such %s", name, what);
    return complain(error, key, text);
}

static bool read_ids(json_object *object, const char *key, Kind kind, GArray **ret_ids,
                     GError **error)
{
    json_object *value;
    guint32 id;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    if (!json_object_is_type(value, json_type_array))
        return complain(error, key, "must be a list of names or numbers");

    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        if (!read_id(json_object_array_get_idx(value, i), key, kind, &id, error))
            return false;
        g_array_append_val(ids, id);
    }
    *ret_ids = g_steal_pointer(&ids);
    return true;
}

bool mux_access_users(json_object *object, const char *key, GArray **ret_ids, GError **error)
{
    return read_ids(object, key, USER, ret_ids, error);
}

bool mux_access_groups(json_object *object, const char *key, GArray **ret_ids, GError **error)
{
    return read_ids(object, key, GROUP, ret_ids, error);
}

static bool read_mode(json_object *object, const char *key, mode_t *ret_mode, GError **error)
{
    json_object *value;
    guint64 mode;

    if (!json_object_object_get_ex(object, key, &value))
        return true;
    const char *text = json_object_get_string(value);
    if (!mux_json_is_text(value) || !g_ascii_string_to_unsigned(text, 8, 0, 0777, &mode, NULL))
        return complain(error, key, "must be an octal mode in quotes, such as \"0660\"");
    *ret_mode = (mode_t)mode;
    return true;
}

static bool read_owner(json_object *object, const char *key, Kind kind, guint32 *ret_id,
                       GError **error)
{
    json_object *value;

    return !json_object_object_get_ex(object, key, &value) ||
           read_id(value, key, kind, ret_id, error);
}

bool mux_access_equal(const MuxAccess *a, const MuxAccess *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

bool mux_access_read(json_object *object, const char *prefix, MuxAccess *ret_access, GError **error)
{
    g_autofree char *mode = g_strconcat(prefix, "mode", NULL);
    g_autofree char *owner = g_strconcat(prefix, "owner", NULL);
    g_autofree char *group = g_strconcat(prefix, "group", NULL);
    MuxAccess access = *ret_access;

    if (!read_mode(object, mode, &access.mode, error) ||
        !read_owner(object, owner, USER, &access.uid, error) ||
        !read_owner(object, group, GROUP, &access.gid, error))
        return false;
    *ret_access = access;
    return true;
}
