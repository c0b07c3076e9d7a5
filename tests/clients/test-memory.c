// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each allocation of the library fails in turn: the result is -ENOMEM, no descriptor stays open,
// and nothing leaks (the sanitizer build sees that).

#include <errno.h>
#include <glib.h>
#include <unistd.h>

#include "fake.h"
#include "muxclient.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

// Of the calling thread alone: the fake daemon has its own.
static _Thread_local long left = -1; // allocations until one fails; negative: none does

static gboolean fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

static void play(int fd, gconstpointer data)
{
    g_autofree char *blank = g_strnfill(6000, ' ');
    char byte;

    (void)data;
    fake_expect(fd, "@control\n");
    fake_say(fd, "OK\n");
    if (read(fd, &byte, 1) <= 0)
        return;
    fake_say(fd, "{\"ok\":true,\"remote\":[");
    fake_say(fd, blank);
    fake_say(fd, "{\"name\":\"a\",\"link\":\"b\",\"service\":\"c\"}]}\n");
    fake_pass_channel(fd,
                      "{\"event\":\"channel\",\"service\":\"c\",\"link\":\"b\",\"id\":1,"
                      "\"argument\":\"long enough\"}\n",
                      "");
    while (read(fd, &byte, 1) > 0) { // the rest of the request; then the end
    }
}

static int try_listen(const char *path)
{
    const MuxClientListenOptions options = {.description = "x"};
    MuxClientListener *listener = NULL;
    int fd = -1;

    int r = mux_client_listen(path, "c", &options, -1, NULL, &listener);
    if (r == 0)
        r = mux_client_accept(listener, -1, NULL, &fd);
    if (fd >= 0)
        (void)close(fd);
    mux_client_listener_free(listener);
    return r;
}

static int try_services(const char *path)
{
    MuxClientServices *services = NULL;
    int r = mux_client_services(path, -1, NULL, &services);

    mux_client_services_free(services);
    return r;
}

static int try_events(const char *path)
{
    MuxClientEvents *events = NULL;
    const MuxClientEvent *event = NULL;

    int r = mux_client_events(path, MUX_CLIENT_EVENTS_LINKS, -1, NULL, &events);
    if (r == 0)
        r = mux_client_next_event(events, -1, &event);
    mux_client_events_free(events);
    return r;
}

static void check(int (*try)(const char *path), long least)
{
    Fake fake;
    long n = 0;
    int r;

    do {
        // A call that fails before it connects leaves the daemon waiting for somebody.
        int other = -1;
        fake_start_many(&fake, play, NULL, 2);
        left = n++;
        r = try(fake.path);
        left = -1;
        for (int i = 0; i < 2; i++)
            if (mux_client_connect(fake.path, "@control", 0, NULL, &other) == 0)
                (void)close(other);
        fake_end(&fake);
        g_assert_true(r == 0 || r == -ENOMEM);
    } while (r != 0);
    g_assert_cmpint(n, >, least);
}

static void test_listen(void)
{
    check(try_listen, 4); // the request, the listener, its lines, their growth, the words
}

static void test_services(void)
{
    check(try_services, 2);
}

static void test_events(void)
{
    check(try_events, 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/memory/listen", test_listen);
    g_test_add_func("/client/memory/services", test_services);
    g_test_add_func("/client/memory/events", test_events);
    return g_test_run();
}
