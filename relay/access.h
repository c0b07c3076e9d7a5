// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Users, groups and modes, as the configuration writes them.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

// Who may connect to a socket, as its file says it.
typedef struct MuxAccess {
    mode_t mode;
    uid_t uid; // (uid_t)-1: the daemon's
    gid_t gid; // (gid_t)-1: the daemon's
} MuxAccess;

#define MUX_ACCESS(the_mode) ((MuxAccess){.mode = (the_mode), .uid = (uid_t)-1, .gid = (gid_t)-1})

// Whether they are the same.
bool mux_access_equal(const MuxAccess *a, const MuxAccess *b);

// Takes the keys PREFIXmode, PREFIXowner and PREFIXgroup, of which those that are not there leave
// what is in *ret_access. False with an error that names the key.
bool mux_access_read(json_object *object, const char *prefix, MuxAccess *ret_access,
                     GError **error);

// A list of users, or groups: names or numbers. *ret_ids is set when the key is there: guint32, the
// caller's (g_array_unref). False with an error that names the key, and whom there is not.
bool mux_access_users(json_object *object, const char *key, GArray **ret_ids, GError **error);
bool mux_access_groups(json_object *object, const char *key, GArray **ret_ids, GError **error);
