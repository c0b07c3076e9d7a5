// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The kernel keeps a connection's credentials as they were at connect(), so what a process becomes
// afterwards, or who gets its pid, changes nothing.

#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void read_groups(int fd, MuxPeer *peer)
{
    gid_t groups[MUX_PEER_GROUPS_MAX];
    socklen_t length = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
        return;
    peer->groups = g_memdup2(groups, length);
    peer->n_groups = length / sizeof(gid_t);
}

// It ends up in logs and on terminals.
static void read_program(pid_t pid, char *program, size_t size)
{
    g_autofree char *file = g_strdup_printf("/proc/%d/comm", (int)pid);
    int fd = pid > 0 ? open(file, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    ssize_t n = read(fd, program, size - 1);
    close(fd);
    if (n > 0 && program[n - 1] == '\n')
        n--;
    program[MAX(n, 0)] = '\0';
    for (char *c = program; *c; c++)
        if (!g_ascii_isgraph(*c))
            *c = '?';
}

int mux_peer_read(int fd, MuxPeer *ret_peer)
{
    struct ucred credentials = {.uid = (uid_t)-1};
    socklen_t length = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return -errno;
    if (credentials.uid == (uid_t)-1)
        return -ENOTCONN;

    MuxPeer peer = {
        .known = true, .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
    read_groups(fd, &peer);
    read_program(peer.pid, peer.program, sizeof(peer.program));
    *ret_peer = peer;
    return 0;
}

void mux_peer_clear(MuxPeer *peer)
{
    g_free(peer->groups);
    *peer = (MuxPeer){0};
}

bool mux_peer_is_privileged(const MuxPeer *peer)
{
    return peer->known && (peer->uid == 0 || peer->uid == geteuid());
}

bool mux_peer_in_group(const MuxPeer *peer, gid_t gid)
{
    if (!peer->known)
        return false;
    for (size_t i = 0; i < peer->n_groups; i++)
        if (peer->groups[i] == gid)
            return true;
    return peer->gid == gid;
}

void mux_peer_caller(const MuxPeer *peer, MuxCaller *ret_caller)
{
    *ret_caller = (MuxCaller){.known = peer->known, .uid = peer->uid, .gid = peer->gid};
    g_strlcpy(ret_caller->program, peer->program, sizeof(ret_caller->program));
}
