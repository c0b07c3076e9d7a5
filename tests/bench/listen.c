// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A server for many connections. One process has those that have asked for nothing yet, and answers
// SERVER_ONCE itself, so that a connection costs no process. Any other request makes one, which has
// the connection from then on.
//
// Requests are only peeked at until it is known who reads them: there is nothing to be remembered
// of a connection but its descriptor. Edge-triggered, so that half a request does not wake us
// again.

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server.h"
#include "stream.h"

#define EVENTS  64
#define BACKLOG 1024

static int make_listener(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, BACKLOG) < 0)
        err(1, "%s", path);
    return listener;
}

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void take_visitors(int epoll, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        watch(epoll, fd, EPOLLIN | EPOLLET);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        err(1, "accept");
}

// Closing is not enough, while another process has the same connection.
static void forget(int epoll, int fd)
{
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
}

// A process of its own, which holds nobody else's connection open.
static void hand_over(int fd)
{
    pid_t child = fork();

    if (child < 0)
        err(1, "fork");
    if (child == 0) {
        if (dup2(fd, STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
            err(1, "descriptors");
        server_run(STDIN_FILENO);
        exit(0);
    }
}

// Whether the connection is still ours.
static bool on_visitor(int fd)
{
    char bytes[sizeof(ServerRequest) + SERVER_ONCE_MAX];
    ServerRequest request;

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < (ssize_t)sizeof(request))
            return true; // more will come, and wake us
        memcpy(&request, bytes, sizeof(request));
        if (request.task != SERVER_ONCE) {
            hand_over(fd);
            return false;
        }
        size_t size = sizeof(request) + request.size;
        if (request.size > SERVER_ONCE_MAX)
            return false;
        if ((size_t)n < size)
            return true;
        if (!read_all(fd, bytes, size) || !write_all(fd, bytes + sizeof(request), request.size))
            return false;
    }
}

void server_listen(const char *path)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = make_listener(path);

    if (epoll < 0)
        err(1, "epoll_create1");
    (void)signal(SIGCHLD, SIG_IGN); // nobody waits for them
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                take_visitors(epoll, listener);
            else if (!on_visitor(fd))
                forget(epoll, fd);
        }
    }
}
