// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The services that the other side of a link has announced: what can be opened over it.
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "service.h"

typedef struct MuxLink MuxLink;
typedef struct MuxRemotes MuxRemotes;

typedef struct MuxRemote {
    char *name;
    MuxFacts facts;
    size_t size; // bytes that it counts for
} MuxRemote;

MuxRemotes *mux_remotes_new(MuxLink *link);
// NULL is fine; returns NULL.
MuxRemotes *mux_remotes_free(MuxRemotes *remotes);

// A service is there, or says something else than before; what `facts` owns becomes the set's.
// False when it is not kept, since there are as many as may be.
bool mux_remotes_put(MuxRemotes *remotes, const char *name, const MuxFacts *facts);
// It is gone, if it was there; NULL: all are.
void mux_remotes_drop(MuxRemotes *remotes, const char *name);

// How many there are.
unsigned mux_remotes_count(const MuxRemotes *remotes);
// How many bytes they say of themselves.
size_t mux_remotes_bytes(const MuxRemotes *remotes);
// Sorted by name; to be freed with g_list_free(). Of MuxRemote.
GList *mux_remotes_sorted(const MuxRemotes *remotes);
// What one of them is for those who look for something to open. The caller's.
json_object *mux_remote_json(const MuxLink *link, const MuxRemote *remote);
