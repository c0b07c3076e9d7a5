// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One process has all connections, so that what it costs to have many is the other end's. A visit
// is one connection from connect() to close(). All that a visit writes goes with one write(), so it
// takes as many round trips as the other end wants to.

#include "opens.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server.h"
#include "stream.h"

#define IDLE_MS  20000 // nothing happens for so long: it never will
#define AGAIN_MS 1     // until a listener whose queue is full is tried again
#define EVENTS   64

typedef struct Visit {
    int fd; // -1: between two visits
    size_t got;
    char echo[SERVER_ONCE_MAX];
} Visit;

typedef struct Opens {
    struct sockaddr_un address;
    char first[OPENS_NAME_MAX + sizeof(ServerRequest) + SERVER_ONCE_MAX]; // that a visit writes
    size_t first_size, size;                                              // message: its last bytes
    Visit *visits;
    size_t at_once;
    size_t to_begin, to_end; // visits
    int epoll;
} Opens;

static void add(Opens *opens, const void *bytes, size_t size)
{
    memcpy(opens->first + opens->first_size, bytes, size);
    opens->first_size += size;
}

static void prepare(Opens *opens, const char *path, const char *name)
{
    ServerRequest request = {.task = SERVER_ONCE, .size = (uint32_t)opens->size};
    char message[SERVER_ONCE_MAX];

    if (opens->size > SERVER_ONCE_MAX || (name && strlen(name) >= OPENS_NAME_MAX) ||
        strlen(path) >= sizeof(opens->address.sun_path))
        errx(1, "too large a message, or too long a name");
    opens->address.sun_family = AF_UNIX;
    memcpy(opens->address.sun_path, path, strlen(path));
    if (name)
        add(opens, name, strlen(name) + 1);
    add(opens, &request, sizeof(request));
    for (size_t i = 0; i < opens->size; i++)
        message[i] = (char)('a' + i % 26);
    add(opens, message, opens->size);
    opens->epoll = epoll_create1(EPOLL_CLOEXEC);
    opens->visits = calloc(opens->at_once, sizeof(Visit));
    if (opens->epoll < 0 || !opens->visits)
        err(1, "opens");
    for (size_t i = 0; i < opens->at_once; i++)
        opens->visits[i].fd = -1;
}

// False: the listener's queue is full.
static bool begin(Opens *opens, Visit *visit)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = visit};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err(1, "socket");
    if (connect(fd, (const struct sockaddr *)&opens->address, sizeof(opens->address)) < 0) {
        if (errno != EAGAIN)
            err(1, "%s", opens->address.sun_path);
        close(fd);
        return false;
    }
    if (write(fd, opens->first, opens->first_size) != (ssize_t)opens->first_size ||
        epoll_ctl(opens->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "connection %zu from the end", opens->to_begin);
    visit->fd = fd;
    visit->got = 0;
    opens->to_begin--;
    return true;
}

// Whether there is nothing to be tried again.
static bool begin_all(Opens *opens)
{
    for (size_t i = 0; i < opens->at_once && opens->to_begin > 0; i++)
        if (opens->visits[i].fd < 0 && !begin(opens, &opens->visits[i]))
            return false;
    return true;
}

static void on_echo(Opens *opens, Visit *visit)
{
    ssize_t n = read(visit->fd, visit->echo + visit->got, opens->size - visit->got);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        errx(1, "connection %zu from the end: the other end has closed", opens->to_end);
    visit->got += (size_t)n;
    if (visit->got < opens->size)
        return;
    if (memcmp(visit->echo, opens->first + opens->first_size - opens->size, opens->size) != 0)
        errx(1, "the echo is not what was sent");
    close(visit->fd);
    visit->fd = -1;
    opens->to_end--;
}

void opens_run(const char *path, const char *name, size_t count, size_t at_once, size_t size)
{
    Opens opens = {.size = size, .at_once = at_once, .to_begin = count, .to_end = count};
    struct epoll_event events[EVENTS];

    prepare(&opens, path, name);
    double start = seconds(), last = start;
    while (opens.to_end > 0) {
        int timeout = begin_all(&opens) ? IDLE_MS : AGAIN_MS;
        int n = epoll_wait(opens.epoll, events, EVENTS, timeout);
        if (n < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < n; i++)
            on_echo(&opens, events[i].data.ptr);
        if (n > 0)
            last = seconds();
        else if (seconds() - last > IDLE_MS / 1e3)
            errx(1, "no echo for %d s, %zu from the end", IDLE_MS / 1000, opens.to_end);
    }
    double took = seconds() - start;
    (void)printf("{\"opens\": %zu, \"seconds\": %.6f, \"opens_per_s\": %.1f}\n", count, took,
                 (double)count / took);
    close(opens.epoll);
    free(opens.visits);
}
