// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each allocation of the library fails in turn: the result is -ENOMEM, no descriptor stays open,
// and nothing leaks (the sanitizer build sees that).

#include <errno.h>
#include <glib.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

static void check_with(FakePlay with, int (*try)(const char *path), long least)
{
    Fake fake;
    long n = 0;
    int r;

    do {
        // A call that fails before it connects leaves the daemon waiting for somebody.
        int other = -1;
        fake_start_many(&fake, with, NULL, 2);
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

static void check(int (*try)(const char *path), long least)
{
    check_with(play, try, least);
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

// ---- Buffers ----

#define CLIP                                                                                       \
    "{\"name\":\"clip\",\"link\":\"host\",\"id\":\"1\",\"size\":4096,\"writable\":true,"           \
    "\"properties\":{\"a\":\"b\"}}"

static void play_buffer(int fd, gconstpointer data)
{
    char byte;

    (void)data;
    fake_expect(fd, "@");
    if (read(fd, &byte, 1) <= 0)
        return;
    fake_say(fd, "OK\n");
    if (byte == 'b') {
        int memory = memfd_create("clip", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(memory, 4096), ==, 0);
        fake_pass(fd, "{\"ok\":true,\"buffer\":" CLIP "}\n", &memory, 1);
        (void)close(memory);
        fake_pass(fd, "\2", NULL, 0);
        (void)send(fd, "\0\0\0\2\0\0\0{}", 9, MSG_NOSIGNAL); // it may have closed
    } else {
        fake_say(fd, "{\"ok\":true,\"daemon\":\"hostmux\",\"buffers\":[" CLIP "]}\n");
        fake_say(fd, "{\"event\":\"buffer-added\",\"buffer\":" CLIP "}\n");
    }
    while (read(fd, &byte, 1) > 0) {
    }
}

static int try_buffer(const char *path)
{
    const MuxClientProperty property = {"a", "b"};
    MuxClientBuffer *buffer = NULL;
    const MuxClientBufferNews *news = NULL;
    MuxClientBulk *bulk = NULL;

    int r = mux_client_buffer_open(path, "clip", 0, -1, NULL, &buffer);
    if (r == 0)
        r = mux_client_buffer_next(buffer, -1, &news);
    if (r == 0)
        r = mux_client_buffer_set(buffer, &property, 1, -1);
    if (r == 0)
        r = mux_client_buffer_notify(buffer, 0, 1, -1);
    if (r == 0)
        r = mux_client_bulk_sender(-1, buffer, 0, 0, &bulk);
    mux_client_bulk_free(bulk);
    mux_client_buffer_free(buffer);
    return r;
}

static int try_buffers(const char *path)
{
    MuxClientBuffers *buffers = NULL;
    int r = mux_client_buffers(path, -1, NULL, &buffers);

    mux_client_buffers_free(buffers);
    return r;
}

static int try_buffer_events(const char *path)
{
    MuxClientEvents *events = NULL;
    const MuxClientEvent *event = NULL;

    int r = mux_client_buffer_events(path, "x", -1, NULL, &events);
    if (r == 0)
        r = mux_client_next_event(events, -1, &event);
    mux_client_events_free(events);
    return r;
}

static int try_receiver(const char *path)
{
    MuxClientBulk *bulk = NULL;
    int r = mux_client_bulk_receiver(-1, path, "host", &bulk);

    mux_client_bulk_free(bulk);
    return r;
}

static void test_buffers(void)
{
    check_with(play_buffer, try_buffer, 8);
    check_with(play_buffer, try_buffers, 5);
    check_with(play_buffer, try_buffer_events, 5);
    check_with(play_buffer, try_receiver, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/memory/listen", test_listen);
    g_test_add_func("/client/memory/services", test_services);
    g_test_add_func("/client/memory/events", test_events);
    g_test_add_func("/client/memory/buffers", test_buffers);
    return g_test_run();
}
