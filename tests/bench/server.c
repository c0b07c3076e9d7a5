// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server.h"

#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory.h"
#include "stream.h"

#define MESSAGE_MAX 65536

static char message[MESSAGE_MAX];

static bool exchange(int fd, size_t size)
{
    return read_all(fd, message, size) && write_all(fd, message, size);
}

static bool echo(int fd, const ServerRequest *request)
{
    do
        if (!exchange(fd, request->size))
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
    case SERVER_BULK_SOURCE:
        blocks.stop = -1; // what comes on the connection is libmuxclient's
        (void)(request->task == SERVER_BULK_SINK ? memory_take : memory_send)(fd, &here, &blocks,
                                                                              &bytes);
        return false;
    case SERVER_ONCE:
        return request->size <= SERVER_ONCE_MAX && exchange(fd, request->size);
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

void server_device(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", path);
    server_run(fd);
}
