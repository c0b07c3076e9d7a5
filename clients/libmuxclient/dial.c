// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The descriptors that apps get are blocking, so nothing here may block by itself: it is asked for
// with MSG_DONTWAIT and waited for in poll(). Only connect() has no such flag that would do (a
// nonblocking connect() to a unix socket with a full queue just fails), so it waits in the kernel,
// for as long as SO_SNDTIMEO says.

#include "dial.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "muxclient.h"

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

MuxClientDeadline mux_client_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? MUX_CLIENT_NEVER : now_us() + (int64_t)timeout_ms * 1000;
}

// Microseconds; only with a deadline.
static int64_t remaining(MuxClientDeadline deadline)
{
    int64_t left = deadline - now_us();
    return left > 0 ? left : 0;
}

bool mux_client_over(MuxClientDeadline deadline)
{
    return deadline != MUX_CLIENT_NEVER && remaining(deadline) == 0;
}

int mux_client_poll_all(struct pollfd *items, unsigned n, MuxClientDeadline deadline)
{
    for (;;) {
        int64_t left = deadline == MUX_CLIENT_NEVER ? -1 : (remaining(deadline) + 999) / 1000;
        int ready = poll(items, n, left > INT_MAX ? INT_MAX : (int)left);
        if (ready > 0)
            return 0;
        if (ready == 0 && left <= INT_MAX)
            return MUX_CLIENT_TIMEOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

int mux_client_poll(int fd, short events, MuxClientDeadline deadline)
{
    struct pollfd item = {.fd = fd, .events = events};

    return mux_client_poll_all(&item, 1, deadline);
}

static int limit_connect(int fd, MuxClientDeadline deadline)
{
    struct timeval left = {0}; // no limit

    if (deadline != MUX_CLIENT_NEVER) {
        int64_t us = remaining(deadline);
        left.tv_sec = (time_t)(us / 1000000);
        left.tv_usec = (suseconds_t)(us % 1000000);
        if (us < 1000)
            left.tv_usec = 1000;
    }
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0 ? -errno : 0;
}

static int connect_within(int fd, const struct sockaddr_un *address, MuxClientDeadline deadline)
{
    for (;;) {
        int r = limit_connect(fd, deadline);
        if (r < 0)
            return r;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return limit_connect(fd, MUX_CLIENT_NEVER);
        if (errno == EAGAIN)
            return MUX_CLIENT_TIMEOUT;
        if (errno != EINTR)
            return -errno;
        if (mux_client_over(deadline))
            return MUX_CLIENT_TIMEOUT;
    }
}

static int dial_path(const char *path, MuxClientDeadline deadline, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);

    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect_within(fd, &address, deadline);
    if (r == 0)
        *ret_fd = fd;
    else
        (void)close(fd);
    return r;
}

int mux_client_dial(const char *socket, MuxClientDeadline deadline, int *ret_fd)
{
    const char *named = socket ? socket : secure_getenv("GUESTMUX_SOCKET");

    if (named && (socket || *named))
        return dial_path(named, deadline, ret_fd);
    int guest = dial_path("/run/guestmux.sock", deadline, ret_fd);
    if (guest >= 0)
        return guest;
    int host = dial_path("/run/hostmux.sock", deadline, ret_fd);
    // Of two failures the one that says more: a socket that is there, but not for this user.
    return host == -ENOENT ? guest : host;
}

int mux_client_send(int fd, const void *bytes, size_t size, MuxClientDeadline deadline)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            int r = mux_client_poll(fd, POLLOUT, deadline);
            if (r != 0)
                return r;
        } else if (errno != EINTR) {
            return errno == ECONNRESET ? -EPIPE : -errno;
        }
    }
    return 0;
}
