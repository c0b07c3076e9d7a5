// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Descriptors, sockets, and opening many channels. They are asked for in batches: one after the
// other would mostly be waiting, and all at once would fill the daemon's queue of connections.

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "crowd.h"
#include "stream.h"

#define BATCH      32
#define ANSWER_MAX 256

void crowd_need_descriptors(size_t wanted)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < wanted)
        errx(1, "this needs %zu descriptors, and there are %ju (ulimit -Hn)", wanted,
             (uintmax_t)limit.rlim_cur);
}

void crowd_set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        err(1, "O_NONBLOCK");
}

static int make_socket(const char *path, struct sockaddr_un *ret_address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(ret_address->sun_path))
        err(1, "%s", path);
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", path);
    return fd;
}

int crowd_listen(const char *path)
{
    struct sockaddr_un address;
    int fd = make_socket(path, &address);

    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
        err(1, "%s", path);
    return fd;
}

int crowd_connect(const char *path)
{
    struct sockaddr_un address;
    int fd = make_socket(path, &address);

    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        err(1, "%s", path);
    return fd;
}

// Byte by byte, since what follows is the channel's.
static void take_answer(int fd)
{
    char line[ANSWER_MAX];
    size_t n = 0;

    do {
        if (n == sizeof(line) - 1 || !read_all(fd, line + n, 1))
            errx(1, "the daemon closed a connection without an answer");
    } while (line[n++] != '\n');
    line[n - 1] = '\0';
    if (strcmp(line, "OK") != 0)
        errx(1, "a channel was refused: %s", line);
}

int *crowd_open(size_t count, const char *path, const char *name)
{
    int *fds = calloc(count, sizeof(*fds));
    char line[ANSWER_MAX];
    size_t length = (size_t)snprintf(line, sizeof(line), "%s\n", name);

    if (!fds || length >= sizeof(line))
        errx(1, "too many channels, or too long a name");
    for (size_t begin = 0; begin < count; begin += BATCH) {
        size_t end = count - begin < BATCH ? count : begin + BATCH;
        for (size_t i = begin; i < end; i++) {
            fds[i] = crowd_connect(path);
            if (!write_all(fds[i], line, length))
                errx(1, "the daemon closed a connection");
        }
        for (size_t i = begin; i < end; i++)
            take_answer(fds[i]);
    }
    return fds;
}
