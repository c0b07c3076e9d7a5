// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A user stays in the table when his connections are gone, or coming anew would fill his bucket;
// but not for ever.

#include "askers.h"

#define CONNECTIONS_MAX     256
#define KEPT_FOR_PRIVILEGED 32
#define OF_ONE_USER         32
#define REMEMBERED_MAX      1024

// What is asked is worked out while nobody else is served, so there are bounds to it: with 16,384
// channels, a status takes tens of milliseconds and megabytes.
#define WORK_BURST      1024
#define WORK_PER_SECOND 512

#define HELD_MAX (8 * 1024 * 1024)

void mux_askers_init(MuxAskers *askers, uint64_t now_us)
{
    *askers =
        (MuxAskers){.by_uid = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free)};
    mux_bucket_init(&askers->work, WORK_BURST, WORK_PER_SECOND, now_us);
}

void mux_askers_deinit(MuxAskers *askers)
{
    g_clear_pointer(&askers->by_uid, g_hash_table_unref);
}

static void forget_idle(MuxAskers *askers)
{
    GHashTableIter iter;
    gpointer asker;

    g_hash_table_iter_init(&iter, askers->by_uid);
    while (g_hash_table_iter_next(&iter, NULL, &asker))
        if (((const MuxAsker *)asker)->connections == 0)
            g_hash_table_iter_remove(&iter);
}

static MuxAsker *find_or_make(MuxAskers *askers, const MuxPeer *peer, uint64_t now_us)
{
    MuxAsker *asker = g_hash_table_lookup(askers->by_uid, GUINT_TO_POINTER(peer->uid));

    if (asker)
        return asker;
    if (g_hash_table_size(askers->by_uid) >= REMEMBERED_MAX)
        forget_idle(askers);
    asker = g_new0(MuxAsker, 1);
    asker->uid = peer->uid;
    asker->privileged = mux_peer_is_privileged(peer);
    mux_bucket_init(&asker->work, WORK_BURST, WORK_PER_SECOND, now_us);
    g_hash_table_insert(askers->by_uid, GUINT_TO_POINTER(peer->uid), asker);
    return asker;
}

MuxAsker *mux_asker_enter(MuxAskers *askers, const MuxPeer *peer, uint64_t now_us)
{
    MuxAsker *asker = find_or_make(askers, peer, now_us);
    unsigned most = CONNECTIONS_MAX - (asker->privileged ? 0 : KEPT_FOR_PRIVILEGED);

    if (askers->connections >= most || (!asker->privileged && asker->connections >= OF_ONE_USER))
        return NULL;
    askers->connections++;
    asker->connections++;
    return asker;
}

void mux_asker_leave(MuxAskers *askers, MuxAsker *asker)
{
    askers->connections--;
    asker->connections--;
}

bool mux_asker_may_ask(MuxAskers *askers, MuxAsker *asker, size_t cost, uint64_t now_us)
{
    uint32_t tokens = (uint32_t)MIN(cost, WORK_BURST);

    if (asker->privileged)
        return true;
    return mux_bucket_take_some(&asker->work, tokens, now_us) &&
           (tokens == 1 || mux_bucket_take_some(&askers->work, tokens, now_us));
}

bool mux_asker_reads(const MuxAsker *asker)
{
    return asker->privileged || asker->held <= HELD_MAX;
}
