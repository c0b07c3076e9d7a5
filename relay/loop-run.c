// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A message costs a wake-up and a handful of system calls; a turn of GLib's main loop around it
// costs as much again, and more in a guest, where code that was not run just before is slow. So
// turns of the data path follow each other by themselves. GLib is asked once what it waits for:
// until when, and for which descriptors. These are put into an epoll descriptor of their own, which
// is in the loop's; when it has something, or the time is over, GLib runs.
//
// What GLib waits for changes when sources are added. sources.c wakes GLib up for each, by a
// descriptor that is one of its own, and so does g_source_set_ready_time().

#include <errno.h>
#include <unistd.h>

#include "loop-private.h"

// What GLib waits for.
typedef struct Guests {
    int epoll;            // its descriptors; -1: they cannot be watched
    uint64_t deadline_us; // UINT64_MAX: none
} Guests;

static GPollFD *query(int *ret_n, int *ret_timeout)
{
    GMainContext *context = g_main_context_default();
    GPollFD *fds = NULL;
    int priority, n = 8, room;

    bool due = g_main_context_prepare(context, &priority);
    do {
        room = n;
        fds = g_renew(GPollFD, fds, room);
        n = g_main_context_query(context, priority, ret_timeout, fds, room);
    } while (n > room);
    if (due)
        *ret_timeout = 0;
    *ret_n = n;
    return fds;
}

static bool add(int epoll, int fd, uint32_t events, void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = what};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool add_all(const MuxLoop *loop, int epoll, const GPollFD *fds, int n)
{
    for (int i = 0; i < n; i++)
        // The loop's own is among them. One that was closed is none of the loop's business.
        if (fds[i].fd != loop->epoll && !add(epoll, fds[i].fd, fds[i].events, NULL) &&
            errno != EEXIST && errno != EBADF)
            return false;
    return add(loop->epoll, epoll, EPOLLIN, NULL);
}

static void watch_glib(MuxLoop *loop, Guests *guests)
{
    int n, timeout;
    loop->asking = true;
    g_autofree GPollFD *fds = query(&n, &timeout);
    loop->asking = false;

    guests->deadline_us =
        timeout < 0 ? UINT64_MAX : (uint64_t)g_get_monotonic_time() + (uint64_t)timeout * 1000;
    // Made anew each time: what was closed, and a number that was used again, need no thought.
    guests->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (guests->epoll >= 0 && !add_all(loop, guests->epoll, fds, n)) {
        close(guests->epoll);
        guests->epoll = -1;
    }
    loop->glib_due = timeout == 0;
}

static int left_ms(const MuxLoop *loop, uint64_t deadline_us)
{
    uint64_t now = (uint64_t)g_get_monotonic_time();

    if (mux_loop_busy(loop) || now >= deadline_us)
        return 0;
    return deadline_us == UINT64_MAX ? -1 : (int)MIN((deadline_us - now + 999) / 1000, G_MAXINT);
}

void mux_loop_run(MuxLoop *loop)
{
    Guests guests;

    loop->running = g_main_context_acquire(NULL);
    g_assert(loop->running); // nobody else runs it
    while (loop->running) {
        (void)g_main_context_iteration(NULL, FALSE);
        watch_glib(loop, &guests);
        // Without it, as anybody else does: the loop is a GSource too.
        if (guests.epoll < 0 && loop->running)
            (void)g_main_context_iteration(NULL, TRUE);
        while (guests.epoll >= 0 && loop->running && !loop->glib_due) {
            mux_loop_turn(loop, left_ms(loop, guests.deadline_us));
            loop->glib_due |= loop->now_us >= guests.deadline_us;
        }
        if (guests.epoll >= 0)
            close(guests.epoll);
    }
    g_main_context_release(NULL);
}

void mux_loop_quit(MuxLoop *loop)
{
    loop->running = false;
}
