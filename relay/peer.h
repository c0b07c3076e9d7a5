// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who is at the other end of a unix socket, as the kernel saw it when he connected.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/caller.h"

// More supplementary groups than that count as none: they are kept for each connection.
#define MUX_PEER_GROUPS_MAX 1024

// Users and groups are what is decided by. The pid may be another process's by now, and a program
// may call itself what it likes: these two are for showing.
typedef struct MuxPeer {
    bool known; // false in an empty one, which is nobody and may do nothing
    uid_t uid;
    gid_t gid;
    pid_t pid;     // 0 if it is in another pid namespace
    gid_t *groups; // supplementary, owned
    size_t n_groups;
    char program[16]; // printable ASCII without blanks; "" when it cannot be known
} MuxPeer;

// Reads who it is, once, at accept(). 0 or a negative errno: it is no connected unix socket.
int mux_peer_read(int fd, MuxPeer *ret_peer);
// Frees what it owns and makes it empty.
void mux_peer_clear(MuxPeer *peer);

// The same as it is told to the other side.
void mux_peer_caller(const MuxPeer *peer, MuxCaller *ret_caller);

// Whether it is root, or the user that the daemon runs as.
bool mux_peer_is_privileged(const MuxPeer *peer);
// Whether that is its group, or one of its supplementary groups.
bool mux_peer_in_group(const MuxPeer *peer, gid_t gid);
