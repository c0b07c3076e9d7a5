// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What each user of this machine has of a link, so that none can have what is there for all.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "proto/account.h"

// A quarter of the channels that a link has by default.
#define MUX_USER_CHANNELS_DEFAULT 4096

// For each user but root.
typedef struct MuxUserLimits {
    guint32 channels;
    guint64 bytes; // that were sent to his programs and that they have not read
} MuxUserLimits;

typedef struct MuxUser {
    uid_t uid;
    guint32 channels;
    MuxAccount account;
} MuxUser;

GHashTable *mux_users_new(void);

#define MUX_USER_FREE  1 // root: nothing is counted
#define MUX_USER_LIMIT 2 // he has as many channels as he may

// Counts a channel for the user. 0 with the user, or one of the above.
int mux_user_enter(GHashTable *users, uid_t uid, const MuxUserLimits *limits, MuxUser **ret_user);
// The channel is gone. NULL is fine.
void mux_user_leave(GHashTable *users, MuxUser *user);
