// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// peer.c: who connected, as he was then.

#include <fcntl.h>
#include <glib.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/peer.h"

#define UID 65001
#define GID 65002

typedef struct Who {
    const char *program;
    size_t n_groups;
    const gid_t *groups; // NULL: who the test is
} Who;

static int listen_somewhere(struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    const sa_family_t family = AF_UNIX; // without a path: abstract, and the kernel chooses
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (const struct sockaddr *)&family, sizeof(family)));
    g_assert_no_errno(listen(fd, 5));
    *ret_length = sizeof(*ret_address);
    g_assert_no_errno(getsockname(fd, (struct sockaddr *)ret_address, ret_length));
    return fd;
}

static bool become(const Who *who)
{
    return prctl(PR_SET_NAME, who->program) == 0 &&
           (!who->groups || (setgroups(who->n_groups, who->groups) == 0 &&
                             setresgid(GID, GID, GID) == 0 && setresuid(UID, UID, UID) == 0));
}

// Reads who connected, from a process that is somebody; and once more, when it has ended.
static void visit(const Who *who, MuxPeer *ret_peer, MuxPeer *ret_late)
{
    struct sockaddr_storage address;
    socklen_t length;
    char byte = 0;
    int status, listener = listen_somewhere(&address, &length);
    pid_t pid = fork();

    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool good = become(who) && connect(fd, (struct sockaddr *)&address, length) == 0 &&
                    read(fd, &byte, 1) == 1;
        _exit(good ? 0 : 1);
    }
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_no_errno(fd);
    close(listener);
    g_assert_cmpint(mux_peer_read(fd, ret_peer), ==, 0);
    g_assert_cmpint(write(fd, &byte, 1), ==, 1);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(mux_peer_read(fd, ret_late), ==, 0);
    g_assert_cmpint(ret_peer->pid, ==, pid);
    close(fd);
}

static void test_own(void)
{
    const Who who = {.program = "a test"};
    MuxPeer peer = {0}, late = {0};

    visit(&who, &peer, &late);
    g_assert_true(peer.known);
    g_assert_cmpuint(peer.uid, ==, geteuid());
    g_assert_cmpuint(peer.gid, ==, getegid());
    g_assert_cmpstr(peer.program, ==, "a?test");
    g_assert_true(mux_peer_is_privileged(&peer));
    g_assert_true(mux_peer_in_group(&peer, getegid()));
    g_assert_cmpuint(late.uid, ==, geteuid());
    g_assert_cmpstr(late.program, ==, "");
    mux_peer_clear(&peer);
    mux_peer_clear(&late);
    g_assert_false(peer.known);
}

static void test_other(void)
{
    const gid_t groups[] = {65010, 65011, 65012};
    const Who who = {
        .program = "0123456789abcde", .groups = groups, .n_groups = G_N_ELEMENTS(groups)};
    MuxPeer peer = {0}, late = {0};

    if (geteuid() != 0) {
        g_test_skip("only root can become somebody else");
        return;
    }
    visit(&who, &peer, &late);
    g_assert_cmpuint(peer.uid, ==, UID);
    g_assert_cmpuint(peer.gid, ==, GID);
    g_assert_cmpstr(peer.program, ==, who.program);
    g_assert_cmpuint(peer.n_groups, ==, 3);
    g_assert_true(mux_peer_in_group(&peer, GID));
    g_assert_true(mux_peer_in_group(&peer, 65012));
    g_assert_false(mux_peer_in_group(&peer, 65013));
    g_assert_false(mux_peer_in_group(&peer, 0));
    g_assert_false(mux_peer_is_privileged(&peer));
    // As it was at connect(), whatever has become of the process.
    g_assert_cmpuint(late.uid, ==, UID);
    g_assert_cmpuint(late.n_groups, ==, 3);
    mux_peer_clear(&peer);
    mux_peer_clear(&late);
}

// At the bound, and one beyond it: then there are none, so that nothing is let in by mistake.
static void test_many_groups(void)
{
    gid_t groups[MUX_PEER_GROUPS_MAX + 1];
    MuxPeer peer = {0}, late = {0};
    Who who = {.program = "many", .groups = groups};

    if (geteuid() != 0) {
        g_test_skip("only root can become somebody else");
        return;
    }
    for (gid_t i = 0; i < G_N_ELEMENTS(groups); i++)
        groups[i] = 70000 + i;
    for (size_t n = MUX_PEER_GROUPS_MAX; n <= MUX_PEER_GROUPS_MAX + 1; n++) {
        who.n_groups = n;
        visit(&who, &peer, &late);
        g_assert_cmpuint(peer.n_groups, ==, n == MUX_PEER_GROUPS_MAX ? n : 0);
        g_assert_cmpint(mux_peer_in_group(&peer, 70000), ==, n == MUX_PEER_GROUPS_MAX);
        g_assert_true(mux_peer_in_group(&peer, GID));
        mux_peer_clear(&peer);
        mux_peer_clear(&late);
    }
}

static void test_pair(void)
{
    MuxPeer peer = {0};
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    g_assert_cmpint(mux_peer_read(fds[0], &peer), ==, 0);
    g_assert_cmpuint(peer.uid, ==, geteuid());
    g_assert_cmpint(peer.pid, ==, getpid());
    mux_peer_clear(&peer);
    close(fds[0]);
    close(fds[1]);
}

// What has no peer leaves the empty one, which is nobody and is in no group, not even root's.
static void test_none(void)
{
    const int fds[] = {-1, open("/dev/null", O_RDONLY | O_CLOEXEC),
                       socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    MuxPeer peer = {0};

    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_assert_cmpint(mux_peer_read(fds[i], &peer), <, 0);
        if (fds[i] >= 0)
            close(fds[i]);
    }
    g_assert_false(peer.known);
    g_assert_false(mux_peer_is_privileged(&peer));
    g_assert_false(mux_peer_in_group(&peer, 0));
    mux_peer_clear(&peer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peer/own", test_own);
    g_test_add_func("/peer/other", test_other);
    g_test_add_func("/peer/many-groups", test_many_groups);
    g_test_add_func("/peer/pair", test_pair);
    g_test_add_func("/peer/none", test_none);
    return g_test_run();
}
