// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A link: one port, the session over it, and the joints of its channels. The guest daemon has one,
// the host daemon one a VM.
#pragma once

#include <glib.h>

#include "port.h"
#include "proto/bucket.h"
#include "proto/session.h"
#include "relay.h"

// Why the last session ended, for status.
typedef struct MuxLinkEnd {
    char *why; // NULL when none ended yet
    uint64_t when_us;
    unsigned channels; // that it took with it
} MuxLinkEnd;

struct MuxLink {
    MuxRelay *relay;
    char *name; // the VM's; "host" in the guest
    MuxPort *port;
    MuxSession *session;
    MuxList joints;    // whose channels flow
    MuxList unsettled; // that are being connected or opened, oldest first
    MuxJob pump;
    uint64_t armed_us; // when the timer fires; UINT64_MAX: never
    struct MuxDiscovery *discovery;
    struct MuxRemotes *remotes;
    struct MuxBuffers *buffers;
    void *memory; // the daemon's, for that (memory.h)
    struct MuxRegions *regions;
    struct MuxSink *sink;     // of the other side's measuring; or NULL
    GHashTable *users;        // of this machine, who have channels
    guint32 sockets;          // of its channels
    unsigned own;             // channels of the daemon's own
    GSource *timer;           // the session's deadline, and the unsettled joints'
    uint64_t opened, refused; // channels, since the start
    MuxBucket log;            // what the other side makes us log
    unsigned unlogged;
    unsigned closed;     // channels that the session which is ending takes with it
    uint64_t started_us; // when the session was
    bool strange;        // bytes have come since, but no greeting
    bool complained;     // about that
    MuxLinkEnd end;
};

// `spec` as for mux_port_new(). NULL with an error.
MuxLink *mux_link_new(MuxRelay *relay, const char *name, const char *spec, GError **error);
// Ends all of its channels. NULL is fine; returns NULL.
MuxLink *mux_link_free(MuxLink *link);
// The same, as a GDestroyNotify.
void mux_link_destroy(gpointer link);

// How many channels it has, but for the daemon's own.
unsigned mux_link_channels(const MuxLink *link);

// Something may have to be sent, or a joint's time runs: it is looked at, at the end of the turn.
void mux_link_kick(MuxLink *link);

// The other end is known to be gone, though the port shows nothing of it: the session ends, and
// another one begins.
void mux_link_restart(MuxLink *link, const char *why);

// Logs something that the other side brought about, unless it brings about too much.
void mux_link_log(MuxLink *link, GLogLevelFlags level, const char *format, ...) G_GNUC_PRINTF(3, 4);
