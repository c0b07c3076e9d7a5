// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "memory.h"
#include "stream.h"

#define MESSAGE_MAX 65536

static bool echo(int fd, const ServerRequest *request)
{
    static char message[MESSAGE_MAX];

    do
        if (!read_all(fd, message, request->size) || !write_all(fd, message, request->size))
            return false;
    while (message[0] != 1);
    return true;
}

static bool serve(int fd, const ServerRequest *request)
{
    Blocks blocks = {.size = request->size,
                     .count = request->count,
                     .touch = request->touch != 0,
                     .stop = fd,
                     .tell = -1};
    static const MemoryPlace here = {NULL, NULL};
    uint64_t bytes;

    switch ((ServerTask)request->task) {
    case SERVER_ECHO:
        return request->size <= MESSAGE_MAX && echo(fd, request);
    case SERVER_SINK:
        return take_blocks(fd, &blocks) > 0 && write_all(fd, "", 1);
    case SERVER_SOURCE:
        return send_blocks(fd, &blocks) > 0;
    case SERVER_BULK_SINK:
        (void)memory_take(fd, &here, &bytes);
        return false;
    case SERVER_BULK_SOURCE:
        (void)memory_send(fd, &here, request->size, request->count);
        return false;
    case SERVER_NOTICES:
        return memory_answer_notices(fd, &here, request->number, request->count);
    }
    return false;
}

void server_run(int fd)
{
    ServerRequest request;

    while (read_all(fd, &request, sizeof(request)))
        if (request.size == 0 || request.size > STREAM_BLOCK_MAX || !serve(fd, &request))
            break;
    close(fd);
}

void server_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 64) < 0)
        err(1, "%s", path);
    (void)signal(SIGCHLD, SIG_IGN); // nobody waits for them
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && errno != EINTR)
            err(1, "accept");
        if (fd >= 0 && fork() == 0) {
            close(listener);
            server_run(fd);
            exit(0);
        }
        if (fd >= 0)
            close(fd);
    }
}

void server_device(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", path);
    server_run(fd);
}
