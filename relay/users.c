// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A user is in the table while he has a channel.

#include "users.h"

GHashTable *mux_users_new(void)
{
    return g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
}

static MuxUser *find_or_make(GHashTable *users, uid_t uid)
{
    MuxUser *user = g_hash_table_lookup(users, GUINT_TO_POINTER(uid));

    if (!user) {
        user = g_new0(MuxUser, 1);
        user->uid = uid;
        g_hash_table_insert(users, GUINT_TO_POINTER(uid), user);
    }
    return user;
}

int mux_user_enter(GHashTable *users, uid_t uid, const MuxUserLimits *limits, MuxUser **ret_user)
{
    if (uid == 0)
        return MUX_USER_FREE;
    MuxUser *user = find_or_make(users, uid);
    if (user->channels >= limits->channels)
        return MUX_USER_LIMIT;
    user->account.limit = limits->bytes;
    user->channels++;
    *ret_user = user;
    return 0;
}

void mux_user_leave(GHashTable *users, MuxUser *user)
{
    if (user && --user->channels == 0)
        g_hash_table_remove(users, GUINT_TO_POINTER(user->uid));
}
