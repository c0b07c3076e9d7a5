// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Handlers that are started for a channel, as inetd does with "nowait": the channel is a socket on
// stdin and stdout; stderr is the daemon's, so it goes to the same log. A handler ends by itself
// when its socket does. One whose channel was reset may not be reading, and is asked with SIGTERM.
//
// A child is in the set's list until it was reaped, and its joint points at it until either is
// gone.

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services-private.h"

struct MuxChild {
    MuxList node;
    MuxChild **link; // the joint's pointer to it, or NULL
    GPid pid;
    guint source;
    char *name; // of the service
};

static void forget(MuxChild *child)
{
    if (child->link)
        *child->link = NULL;
    mux_list_remove(&child->node);
    g_spawn_close_pid(child->pid);
    g_free(child->name);
    g_free(child);
}

static void on_child_exit(GPid pid, gint status, gpointer user)
{
    MuxChild *child = user;

    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM)
        g_warning("service %s: handler %d was killed by signal %d", child->name, (int)pid,
                  WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        g_info("service %s: handler %d ended with status %d", child->name, (int)pid,
               WEXITSTATUS(status));
    forget(child);
}

static MuxChild *child_new(MuxServices *services, const MuxService *service, GPid pid)
{
    MuxChild *child = g_new0(MuxChild, 1);

    child->pid = pid;
    child->name = g_strdup(service->name);
    mux_list_init(&child->node);
    mux_list_append(&services->children, &child->node);
    child->source = g_child_watch_add(pid, on_child_exit, child);
    return child;
}

// In the child, between fork() and exec().
static void limit_descriptors(gpointer user)
{
    const MuxServices *services = user;
    (void)setrlimit(RLIMIT_NOFILE, &services->descriptors);
}

int mux_service_spawn(MuxServices *services, const MuxService *service, MuxChild **link,
                      int *ret_fd)
{
    g_autoptr(GError) error = NULL;
    int ends[2];
    GPid pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    // The handler's end blocks, as programs expect of their stdin; ours does not.
    (void)g_unix_set_fd_nonblocking(ends[0], TRUE, NULL);
    // Nothing of ours is inherited, since all is close-on-exec.
    bool started = g_spawn_async_with_pipes_and_fds(
        NULL, (const gchar *const *)service->argv, NULL,
        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN, limit_descriptors, services,
        ends[1], ends[1], -1, NULL, NULL, 0, &pid, NULL, NULL, NULL, &error);
    close(ends[1]);
    if (!started) {
        g_warning("service %s: %s", service->name, error->message);
        close(ends[0]);
        return error->code == G_SPAWN_ERROR_NOENT ? -ENOENT : -ECHILD;
    }
    *link = child_new(services, service, pid);
    (*link)->link = link;
    *ret_fd = ends[0];
    return 0;
}

void mux_child_leave(MuxChild *child, bool ask)
{
    if (!child)
        return;
    child->link = NULL;
    if (ask)
        (void)kill(child->pid, SIGTERM);
}

void mux_children_end(MuxServices *services)
{
    MuxList *first;

    while ((first = mux_list_first(&services->children))) {
        MuxChild *child = mux_container(first, MuxChild, node);
        (void)kill(child->pid, SIGTERM);
        g_source_remove(child->source);
        forget(child);
    }
}
