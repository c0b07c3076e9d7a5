// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// loop-run.c: the data path's turns and GLib's, side by side. Each test runs the loop until the
// last thing that it waits for has happened; the alarm of 20 s is for one that never does.

#include <glib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/loop.h"
#include "relay/sources.h"

typedef struct Fixture {
    MuxLoop *loop;
    MuxWatch watch;
    int ends[2]; // ends[0] is the watch's
    unsigned called, timeouts;
    GPid child;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    alarm(20);
    g_assert_no_errno(mux_loop_new(&f->loop));
    mux_watch_init(&f->watch);
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->ends));
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    mux_watch_stop(&f->watch);
    close(f->ends[0]);
    close(f->ends[1]);
    mux_loop_free(f->loop);
    alarm(0);
}

static void watch(Fixture *f, void (*fn)(MuxWatch *watch))
{
    g_assert_no_errno(mux_watch_start(&f->watch, f->loop, f->ends[0], EPOLLIN, fn));
}

static gboolean on_timeout(gpointer user)
{
    Fixture *f = user;

    f->timeouts++;
    mux_loop_quit(f->loop);
    return G_SOURCE_REMOVE;
}

static void on_nothing(MuxWatch *watch)
{
    Fixture *f = mux_container(watch, Fixture, watch);
    f->called++; // what is there stays: it is called in each turn
}

// A watch that is always busy does not keep GLib from its turn.
static void test_busy(Fixture *f, gconstpointer data)
{
    (void)data;
    watch(f, on_nothing);
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    mux_source_timeout(20, on_timeout, f);
    mux_loop_run(f->loop);
    g_assert_cmpuint(f->timeouts, ==, 1);
    g_assert_cmpuint(f->called, >, 10);
}

static gboolean on_idle(gpointer user)
{
    Fixture *f = user;

    mux_loop_quit(f->loop);
    return G_SOURCE_REMOVE;
}

// Nor from what is to be done at once.
static void test_busy_idle(Fixture *f, gconstpointer data)
{
    (void)data;
    watch(f, on_nothing);
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    mux_source_idle(on_idle, f);
    mux_loop_run(f->loop);
}

static void add_timeout(MuxWatch *watch)
{
    Fixture *f = mux_container(watch, Fixture, watch);

    f->called++;
    mux_watch_drained(watch, EPOLLIN);
    mux_source_timeout(20, on_timeout, f);
}

static gpointer write_later(gpointer user)
{
    const Fixture *f = user;

    g_usleep(50000); // until the loop waits
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    return NULL;
}

// A source that is added by a turn of the data path is known to GLib at once.
static void test_added(Fixture *f, gconstpointer data)
{
    (void)data;
    watch(f, add_timeout);
    GThread *thread = g_thread_new("write", write_later, f);
    mux_loop_run(f->loop);
    g_thread_join(thread);
    g_assert_cmpuint(f->called, ==, 1);
    g_assert_cmpuint(f->timeouts, ==, 1);
    // cppcheck-suppress memleak // joining frees it
}

static void on_child(GPid pid, gint status, gpointer user)
{
    Fixture *f = user;

    g_assert_cmpint(pid, ==, f->child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    mux_loop_quit(f->loop);
}

static void start_child(MuxWatch *watch)
{
    Fixture *f = mux_container(watch, Fixture, watch);

    f->called++;
    mux_watch_drained(watch, EPOLLIN);
    f->child = fork();
    if (f->child == 0) {
        g_usleep(20000);
        _exit(3);
    }
    mux_source_child(f->child, on_child, f);
}

// The same with one that has a descriptor of its own.
static void test_child(Fixture *f, gconstpointer data)
{
    (void)data;
    watch(f, start_child);
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    mux_loop_run(f->loop);
    g_assert_cmpuint(f->called, ==, 1);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    Fixture *f = user;
    char byte;

    g_assert_true(condition & G_IO_IN);
    g_assert_cmpint(read(fd, &byte, 1), ==, 1);
    if (++f->called == 100)
        mux_loop_quit(f->loop);
    return G_SOURCE_REMOVE;
}

// More descriptors of GLib's than were expected.
static void test_many_descriptors(Fixture *f, gconstpointer data)
{
    int pairs[100][2];

    (void)data;
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
        mux_source_readable(pairs[i][0], on_readable, f);
        g_assert_cmpint(write(pairs[i][1], "x", 1), ==, 1);
    }
    mux_loop_run(f->loop);
    g_assert_cmpuint(f->called, ==, G_N_ELEMENTS(pairs));
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

static void take_and_quit(MuxWatch *watch)
{
    Fixture *f = mux_container(watch, Fixture, watch);

    f->called++;
    mux_watch_drained(watch, EPOLLIN);
    if (f->timeouts > 0)
        mux_loop_quit(f->loop);
}

static gboolean count(gpointer user)
{
    Fixture *f = user;

    f->timeouts++;
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    return f->timeouts < 3 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

// No descriptor is left for the loop's own: it goes on as a source of GLib's.
static void test_no_descriptor(Fixture *f, gconstpointer data)
{
    struct rlimit before, few;
    int last = -1, fd;

    (void)data;
    watch(f, take_and_quit);
    mux_source_timeout(10, count, f);
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
    few = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &few));
    while ((fd = dup(f->ends[1])) >= 0)
        last = fd;
    g_assert_cmpint(last, ==, 63);
    mux_loop_run(f->loop);
    for (fd = f->ends[1] + 1; fd <= last; fd++)
        close(fd);
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
    g_assert_cmpuint(f->called, >=, 1);
}

typedef struct Order {
    MuxLoop *loop;
    MuxWatch first, last;
    MuxJob job;
    char said[8];
    size_t n;
} Order;

static void say(Order *order, char what)
{
    if (order->n < sizeof(order->said) - 1)
        order->said[order->n++] = what;
}

static void on_first(MuxWatch *watch)
{
    Order *order = mux_container(watch, Order, first);

    mux_watch_drained(watch, EPOLLIN);
    say(order, 'f');
    mux_loop_defer(order->loop, &order->job);
}

static void on_last(MuxWatch *watch)
{
    Order *order = mux_container(watch, Order, last);

    mux_watch_drained(watch, EPOLLIN);
    say(order, 'l');
    mux_loop_defer(order->loop, &order->job);
    mux_loop_quit(order->loop);
}

static void on_job(MuxJob *job)
{
    say(mux_container(job, Order, job), 'j');
}

// Who is to be last is called after the others and what they asked for, and has its own job done.
static void test_last(Fixture *f, gconstpointer data)
{
    Order order = {.loop = f->loop};
    int ends[2];

    (void)data;
    mux_job_init(&order.job, on_job);
    mux_watch_init(&order.first);
    mux_watch_init(&order.last);
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    g_assert_no_errno(mux_watch_start(&order.last, f->loop, ends[0], EPOLLIN, on_last));
    order.last.last = true;
    g_assert_no_errno(mux_watch_start(&order.first, f->loop, f->ends[0], EPOLLIN, on_first));
    g_assert_cmpint(write(ends[1], "x", 1), ==, 1);
    g_assert_cmpint(write(f->ends[1], "x", 1), ==, 1);
    mux_loop_run(f->loop);
    g_assert_cmpstr(order.said, ==, "fjlj");
    mux_watch_stop(&order.first);
    mux_watch_close(&order.last);
    close(ends[1]);
}

#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/loop/busy", test_busy);
    ADD("/loop/busy-idle", test_busy_idle);
    ADD("/loop/added", test_added);
    ADD("/loop/child", test_child);
    ADD("/loop/many-descriptors", test_many_descriptors);
    ADD("/loop/no-descriptor", test_no_descriptor);
    ADD("/loop/last", test_last);
    return g_test_run();
}
