// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A turn is: collect what the kernel reports, call each watch that has something wanted, run the
// jobs; the same with those that are to be last. These are the ports: what they bring takes its
// time to be given to its readers, and an answer that came meanwhile must not wait for the next
// lot. A watch that is still ready goes to the end of the list for the next turn, so that a busy
// one cannot keep the others from theirs. Nothing is called while events are collected, and a watch
// that is stopped leaves the lists at once, so a callback may free any watch.

#include "loop.h"

#include <errno.h>
#include <unistd.h>

#include "loop-private.h"

#define EVENTS_A_TURN 256

typedef struct LoopSource {
    GSource source;
    MuxLoop *loop;
} LoopSource;

bool mux_loop_busy(const MuxLoop *loop)
{
    return !mux_list_empty(&loop->ready) || !mux_list_empty(&loop->last) ||
           !mux_list_empty(&loop->jobs);
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    const MuxLoop *loop = ((LoopSource *)source)->loop;

    *timeout = -1;
    // Asked what GLib itself waits for, it is not ready: it takes its turns without GLib.
    return !loop->asking && mux_loop_busy(loop);
}

static gboolean source_check(GSource *source)
{
    MuxLoop *loop = ((LoopSource *)source)->loop;
    return mux_loop_busy(loop) || g_source_query_unix_fd(source, loop->tag) != 0;
}

static void queue_if_due(MuxWatch *watch)
{
    if (!(watch->ready & watch->wanted))
        mux_list_remove(&watch->node);
    else if (mux_list_empty(&watch->node))
        mux_list_append(watch->last ? &watch->loop->last : &watch->loop->ready, &watch->node);
}

// Whether the kernel reports when it can be written. Asking anew reports what is so already.
static void ask_for_output(MuxWatch *watch, bool output)
{
    struct epoll_event event = {.data.ptr = watch};

    if (output == !!(watch->asked & EPOLLOUT))
        return;
    watch->asked ^= EPOLLOUT;
    event.events = watch->asked;
    // It fails for a descriptor that is not in there, which would be our own mistake.
    g_assert_no_errno(epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->fd, &event));
}

static void collect(MuxLoop *loop, int timeout_ms)
{
    struct epoll_event events[EVENTS_A_TURN];
    int n = epoll_wait(loop->epoll, events, EVENTS_A_TURN, timeout_ms);

    loop->now_us = (uint64_t)g_get_monotonic_time();
    for (int i = 0; i < n; i++) {
        MuxWatch *watch = events[i].data.ptr;
        if (!watch) {
            loop->glib_due = true;
            continue;
        }
        watch->ready |= events[i].events;
        if (events[i].events & EPOLLOUT && !(watch->wanted & EPOLLOUT))
            ask_for_output(watch, false);
        queue_if_due(watch);
    }
}

static void call_ready(MuxList *ready)
{
    MuxList turn, *first;

    // Whatever becomes ready again meanwhile waits for the next turn.
    mux_list_init(&turn);
    while ((first = mux_list_first(ready)))
        mux_list_append(&turn, first);
    while ((first = mux_list_first(&turn))) {
        MuxWatch *watch = mux_container(first, MuxWatch, node);
        mux_list_append(ready, first);
        watch->fn(watch);
    }
    // Those whose function used up what was ready have taken themselves out in mux_watch_drained().
}

static void run_jobs(MuxLoop *loop)
{
    MuxList turn, *first;

    mux_list_init(&turn);
    while ((first = mux_list_first(&loop->jobs)))
        mux_list_append(&turn, first);
    while ((first = mux_list_first(&turn))) {
        mux_list_remove(first);
        MuxJob *job = mux_container(first, MuxJob, node);
        job->fn(job);
    }
}

void mux_loop_turn(MuxLoop *loop, int timeout_ms)
{
    collect(loop, timeout_ms);
    call_ready(&loop->ready);
    run_jobs(loop);
    call_ready(&loop->last);
    run_jobs(loop);
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    mux_loop_turn(((LoopSource *)source)->loop, 0);
    return G_SOURCE_CONTINUE;
}

int mux_loop_new(MuxLoop **ret_loop)
{
    static GSourceFuncs functions = {
        .prepare = source_prepare, .check = source_check, .dispatch = source_dispatch};

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return -errno;

    MuxLoop *loop = g_new0(MuxLoop, 1);
    loop->epoll = epoll;
    loop->now_us = (uint64_t)g_get_monotonic_time();
    mux_list_init(&loop->ready);
    mux_list_init(&loop->last);
    mux_list_init(&loop->jobs);
    loop->source = g_source_new(&functions, sizeof(LoopSource));
    ((LoopSource *)loop->source)->loop = loop;
    loop->tag = g_source_add_unix_fd(loop->source, epoll, G_IO_IN);
    // Nothing of ours runs the loop recursively. Without this GLib takes the descriptor out of its
    // poll() for each turn, and wakes itself up for that: four system calls more for each message.
    g_source_set_can_recurse(loop->source, TRUE);
    g_source_attach(loop->source, NULL);
    *ret_loop = loop;
    return 0;
}

MuxLoop *mux_loop_free(MuxLoop *loop)
{
    if (!loop)
        return NULL;
    g_source_destroy(loop->source);
    g_source_unref(loop->source);
    close(loop->epoll);
    g_free(loop);
    return NULL;
}

uint64_t mux_loop_now(const MuxLoop *loop)
{
    return loop->now_us;
}

void mux_watch_init(MuxWatch *watch)
{
    *watch = (MuxWatch){.fd = -1};
    mux_list_init(&watch->node);
}

int mux_watch_start(MuxWatch *watch, MuxLoop *loop, int fd, uint32_t wanted,
                    void (*fn)(MuxWatch *watch))
{
    uint32_t asked = EPOLLIN | EPOLLRDHUP | EPOLLET | (wanted & EPOLLOUT);
    struct epoll_event event = {.events = asked, .data.ptr = watch};

    g_assert(watch->fd < 0);
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    // A fresh descriptor can be written, or the first write says that it cannot.
    *watch = (MuxWatch){.loop = loop,
                        .fd = fd,
                        .asked = asked,
                        .ready = ~asked & EPOLLOUT,
                        .wanted = wanted,
                        .fn = fn};
    mux_list_init(&watch->node);
    return 0;
}

void mux_watch_stop(MuxWatch *watch)
{
    if (watch->fd < 0)
        return;
    // Explicitly, since the description may live on in another process, and would be reported.
    (void)epoll_ctl(watch->loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    mux_list_remove(&watch->node);
    watch->fd = -1;
    watch->ready = watch->wanted = 0;
}

void mux_watch_close(MuxWatch *watch)
{
    int fd = watch->fd;

    if (fd < 0)
        return;
    mux_watch_stop(watch);
    close(fd);
}

void mux_watch_want(MuxWatch *watch, uint32_t wanted)
{
    watch->wanted = wanted;
    if (wanted & ~watch->ready & EPOLLOUT)
        ask_for_output(watch, true);
    queue_if_due(watch);
}

void mux_watch_drained(MuxWatch *watch, uint32_t bits)
{
    watch->ready &= ~bits;
    queue_if_due(watch);
}

void mux_job_init(MuxJob *job, void (*fn)(MuxJob *job))
{
    job->fn = fn;
    mux_list_init(&job->node);
}

void mux_job_cancel(MuxJob *job)
{
    mux_list_remove(&job->node);
}

void mux_loop_defer(MuxLoop *loop, MuxJob *job)
{
    if (mux_list_empty(&job->node))
        mux_list_append(&loop->jobs, &job->node);
}
