// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A program for each channel, as inetd does it: the channel is its stdin and stdout, stderr is
// ours.
//
// A program may go on when its channel is over, so the daemon's limit of channels is not one of
// programs. So many as that limit run for a link; so many more channels wait for them; what comes
// beyond that is closed. A link that has used up its own does not cost the others anything.

#include "children.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct MuxctlJob {
    MuxctlChildren *children;
    char *link;
    char **environment;
    int fd;   // of one that waits; else -1
    GPid pid; // of one that runs; else 0
} MuxctlJob;

static void job_free(MuxctlJob *job)
{
    g_queue_remove(&job->children->jobs, job);
    if (job->fd >= 0)
        close(job->fd);
    g_strfreev(job->environment);
    g_free(job->link);
    g_free(job);
}

static guint count(MuxctlChildren *children, const char *link, bool running)
{
    guint n = 0;

    for (GList *node = children->jobs.head; node; node = node->next) {
        const MuxctlJob *job = node->data;
        n += strcmp(job->link, link) == 0 && (job->pid != 0) == running;
    }
    return n;
}

static char **set_number(char **environment, const char *name, uint32_t value, bool known)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT32_FORMAT, value);

    return known ? g_environ_setenv(environment, name, text, TRUE)
                 : g_environ_unsetenv(environment, name);
}

static char **make_environment(const MuxClientChannel *channel)
{
    const MuxClientCaller *caller = &channel->caller;
    char **environment = g_get_environ();

    environment = g_environ_setenv(environment, "GUESTMUX_SERVICE", channel->service, TRUE);
    environment = g_environ_setenv(environment, "GUESTMUX_ARGUMENT", channel->argument, TRUE);
    environment = g_environ_setenv(environment, "GUESTMUX_LINK", channel->link, TRUE);
    environment = set_number(environment, "GUESTMUX_CHANNEL", channel->id, true);
    environment = set_number(environment, "GUESTMUX_UID", caller->uid,
                             caller->known && caller->uid != MUX_CLIENT_NO_ID);
    environment = set_number(environment, "GUESTMUX_GID", caller->gid,
                             caller->known && caller->gid != MUX_CLIENT_NO_ID);
    if (caller->known && caller->program[0] != '\0')
        return g_environ_setenv(environment, "GUESTMUX_PROGRAM", caller->program, TRUE);
    return g_environ_unsetenv(environment, "GUESTMUX_PROGRAM");
}

static void start_waiting(MuxctlChildren *children, const char *link);

static void on_child_exit(GPid pid, gint status, gpointer user)
{
    MuxctlJob *job = user;
    MuxctlChildren *children = job->children;
    g_autofree char *link = g_strdup(job->link);

    g_spawn_close_pid(pid);
    if (children->asked)
        (void)kill(-pid, SIGKILL); // what it has left behind
    children->failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    job_free(job);
    start_waiting(children, link);
    children->on_end(children->user);
}

// In the child: a process group of its own, so that a ^C is ours and it can be ended with what it
// has started.
static void prepare(gpointer user)
{
    (void)user;
    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL);
}

static void start(MuxctlJob *job)
{
    MuxctlChildren *children = job->children;
    g_autoptr(GError) error = NULL;

    bool started = g_spawn_async_with_pipes_and_fds(
        NULL, (const gchar *const *)children->argv, (const gchar *const *)job->environment,
        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH, prepare, NULL, job->fd, job->fd, -1, NULL,
        NULL, 0, &job->pid, NULL, NULL, NULL, &error);
    if (!started) {
        muxctl_complain("%s", error->message);
        children->failed = true;
        job_free(job);
        return;
    }
    close(job->fd);
    job->fd = -1;
    g_child_watch_add(job->pid, on_child_exit, job);
}

static void start_waiting(MuxctlChildren *children, const char *link)
{
    for (GList *node = children->jobs.head, *next; node; node = next) {
        MuxctlJob *job = node->data;
        next = node->next;
        if (job->pid == 0 && strcmp(job->link, link) == 0 &&
            count(children, link, true) < children->max)
            start(job);
    }
}

void muxctl_children_add(MuxctlChildren *children, const MuxClientChannel *channel, int fd)
{
    if (count(children, channel->link, false) >= children->max) {
        close(fd);
        return;
    }
    MuxctlJob *job = g_new0(MuxctlJob, 1);
    job->children = children;
    job->link = g_strdup(channel->link);
    job->environment = make_environment(channel);
    job->fd = fd;
    g_queue_push_tail(&children->jobs, job);
    start_waiting(children, channel->link);
}

void muxctl_children_signal(MuxctlChildren *children, int number)
{
    children->asked = true;
    for (GList *node = children->jobs.head, *next; node; node = next) {
        MuxctlJob *job = node->data;
        next = node->next;
        if (job->pid != 0)
            (void)kill(-job->pid, number);
        else
            job_free(job);
    }
}

bool muxctl_children_none(const MuxctlChildren *children)
{
    return children->jobs.length == 0;
}
