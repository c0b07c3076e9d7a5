// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Handlers that are started for a channel, as inetd does with "nowait": the channel is a socket on
// stdin and stdout; stderr is the daemon's, so it goes to the same log. A handler ends by itself
// when its socket does, and may take its time, but counts for the service until it has. One whose
// channel was reset may not be reading: it is asked with SIGTERM, and killed later, with all of its
// process group.
//
// A child is in the set's list until it was reaped, and its joint points at it until either is
// gone.

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "services-private.h"
#include "sources.h"

#define KILL_MS 5000 // from SIGTERM to SIGKILL
#define END_MS  500  // the same when the daemon ends

struct MuxChild {
    MuxList node;
    MuxServices *services;
    MuxService *service; // keeps `use`
    MuxUse *use;
    MuxChild **link; // the joint's pointer to it, or NULL
    GPid pid;        // and of its process group
    guint source;
    guint killer; // GLib source: its time to end is running
    bool asked;   // to end, by SIGTERM
};

// Its group is there once it was started: exec() came after setpgid(). It outlives its leader as
// long as somebody is in it, and no other process gets its number meanwhile.
static void signal_group(const MuxChild *child, int number)
{
    (void)kill(-child->pid, number);
}

static void forget(MuxChild *child)
{
    if (child->link)
        *child->link = NULL;
    if (child->killer)
        g_source_remove(child->killer);
    mux_list_remove(&child->node);
    child->use->children--;
    mux_service_unref(child->service);
    g_spawn_close_pid(child->pid);
    g_free(child);
}

// A peer that opens channels as fast as it can must not fill the log with what its handlers do.
static bool may_log(MuxServices *services)
{
    return mux_bucket_take(&services->log, (uint64_t)g_get_monotonic_time());
}

static void on_child_exit(GPid pid, gint status, gpointer user)
{
    MuxChild *child = user;

    if (child->asked)
        signal_group(child, SIGKILL); // what it has left behind
    if (WIFSIGNALED(status) && !child->asked && may_log(child->services))
        g_warning("service %s: handler %d was killed by signal %d", child->service->name, (int)pid,
                  WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && may_log(child->services))
        g_info("service %s: handler %d ended with status %d", child->service->name, (int)pid,
               WEXITSTATUS(status));
    forget(child);
}

static MuxChild *child_new(MuxServices *services, MuxService *service, MuxUse *use, GPid pid)
{
    MuxChild *child = g_new0(MuxChild, 1);

    child->pid = pid;
    child->services = services;
    child->service = mux_service_ref(service);
    child->use = use;
    use->children++;
    mux_list_init(&child->node);
    mux_list_append(&services->children, &child->node);
    child->source = mux_source_child(pid, on_child_exit, child);
    return child;
}

// In the child, between fork() and exec(): a process group of its own, so that what it starts can
// be ended with it, and what a program expects to find.
static void prepare_child(gpointer user)
{
    const MuxServices *services = user;

    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGIO, SIG_DFL);
    (void)setrlimit(RLIMIT_NOFILE, &services->descriptors);
    mux_process_drop_sight();
    mux_process_step_back();
}

int mux_service_spawn(MuxServices *services, MuxService *service, MuxUse *use,
                      const char *const *environment, int fd, MuxChild **link)
{
    g_autoptr(GError) error = NULL;
    GPid pid;

    // Nothing of ours is inherited, since all is close-on-exec.
    bool started = g_spawn_async_with_pipes_and_fds(
        NULL, (const gchar *const *)service->argv, environment,
        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN, prepare_child, services, fd, fd,
        -1, NULL, NULL, 0, &pid, NULL, NULL, NULL, &error);
    if (!started) {
        if (may_log(services))
            g_warning("service %s: %s", service->name, error->message);
        return error->code == G_SPAWN_ERROR_FORK ? -EAGAIN : -ENOEXEC;
    }
    *link = child_new(services, service, use, pid);
    (*link)->link = link;
    return 0;
}

static gboolean on_kill(gpointer user)
{
    MuxChild *child = user;

    child->killer = 0;
    signal_group(child, SIGKILL);
    return G_SOURCE_REMOVE;
}

void mux_child_leave(MuxChild *child, bool ask)
{
    if (!child)
        return;
    child->link = NULL;
    if (!ask)
        return;
    child->asked = true;
    signal_group(child, SIGTERM);
    child->killer = mux_source_timeout(KILL_MS, on_kill, child);
}

// True when all have ended; they were reaped by that.
static bool all_ended(MuxServices *services)
{
    for (MuxList *node = services->children.next, *next; node != &services->children; node = next) {
        MuxChild *child = mux_container(node, MuxChild, node);
        next = node->next;
        if (waitpid(child->pid, NULL, WNOHANG) == 0)
            continue;
        signal_group(child, SIGKILL); // what it has left behind
        forget(child);
    }
    return mux_list_empty(&services->children);
}

void mux_children_end(MuxServices *services)
{
    for (MuxList *node = services->children.next; node != &services->children; node = node->next) {
        MuxChild *child = mux_container(node, MuxChild, node);
        g_source_remove(child->source); // from now on they are reaped here
        signal_group(child, SIGTERM);
    }
    // The daemon is ending, nobody is being served: here alone it may wait.
    for (int i = 0; i < END_MS / 10 && !all_ended(services); i++)
        g_usleep(10 * 1000);
    for (MuxList *first; (first = mux_list_first(&services->children));) {
        MuxChild *child = mux_container(first, MuxChild, node);
        signal_group(child, SIGKILL);
        (void)waitpid(child->pid, NULL, 0);
        forget(child);
    }
}
