// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Channels that are there and do nothing, and channels whose reader has stopped: both their ends.

#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"
#include "stream.h"

#define EVENTS 256
// Nothing has been taken for so long: nothing more will be.
#define STUCK_S 1.0

typedef struct Held {
    int fd;
    uint64_t left; // bytes that it still reads
} Held;

static char bytes[65536];

static void watch(int epoll, int fd, uint32_t events, void *user)
{
    struct epoll_event event = {.events = events, .data.ptr = user};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll");
}

// ---- the handler's end ----

// Edge-triggered: what it does not read does not wake it up again.
static void take_connection(int epoll, int listener, uint64_t most)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    Held *held = malloc(sizeof(*held));

    if (fd < 0 || !held)
        err(1, "accept");
    *held = (Held){.fd = fd, .left = most};
    watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, held);
}

static void read_a_little(Held *held)
{
    while (held->left > 0) {
        size_t size = held->left < sizeof(bytes) ? (size_t)held->left : sizeof(bytes);
        ssize_t n = read(held->fd, bytes, size);
        if (n <= 0)
            return;
        held->left -= (uint64_t)n;
    }
}

static void on_held(Held *held, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP)) {
        close(held->fd);
        free(held);
    } else {
        read_a_little(held);
    }
}

void crowd_hold(const char *path, uint64_t most)
{
    struct epoll_event events[EVENTS];
    int listener = crowd_listen(path), epoll = epoll_create1(EPOLL_CLOEXEC);

    crowd_need_descriptors(0);
    watch(epoll, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            err(1, "epoll");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_held(events[i].data.ptr, events[i].events);
            else
                take_connection(epoll, listener, most);
        }
    }
}

// ---- the app's end ----

static void say_and_wait(size_t count, uint64_t written)
{
    (void)printf("{\"channels\": %zu, \"bytes\": %ju}\n", count, (uintmax_t)written);
    (void)fflush(stdout);
    while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0) {
    }
}

void crowd_keep(size_t count, const char *path, const char *name)
{
    crowd_need_descriptors(count + 16);
    free(crowd_open(count, path, name));
    say_and_wait(count, 0);
}

// What all of them take now.
static uint64_t write_to_each(const int *fds, size_t count)
{
    uint64_t written = 0;

    for (size_t i = 0; i < count; i++) {
        ssize_t n = write(fds[i], bytes, sizeof(bytes));
        if (n < 0 && errno != EAGAIN)
            err(1, "a channel has ended");
        written += n > 0 ? (uint64_t)n : 0;
    }
    return written;
}

void crowd_fill(size_t count, const char *path, const char *name)
{
    crowd_need_descriptors(count + 16);
    int *fds = crowd_open(count, path, name);
    uint64_t written = 0;

    for (size_t i = 0; i < count; i++)
        crowd_set_nonblocking(fds[i]);
    for (double last = seconds(); seconds() - last < STUCK_S;) {
        uint64_t now = write_to_each(fds, count);
        written += now;
        if (now > 0)
            last = seconds();
        else
            (void)usleep(1000); // the daemons need the processor more
    }
    free(fds);
    say_and_wait(count, written);
}
