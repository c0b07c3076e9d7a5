// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Messages beside blocks. The blocks are a process of their own, which tells when they are flowing,
// and at its end how fast they were.

#include <err.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "memory.h"
#include "server.h"
#include "stream.h"

// A measurement ends after so many seconds, if its rounds take longer.
#define LOADED_S 2.0
// Bytes, after which the other connection counts as busy.
#define FLOWING ((size_t)8 << 20)

// Each of these: the megabytes a second, until blocks->stop can be read.

static double move_blocks(int fd, bool to_server, const ClientOptions *options,
                          const Blocks *blocks)
{
    double begin = seconds();
    char byte;

    client_request(fd, to_server ? SERVER_SINK : SERVER_SOURCE, options, options->block, 0);
    uint64_t bytes = to_server ? send_blocks(fd, blocks) : take_blocks(fd, blocks);
    if (bytes == 0 || (to_server && !read_all(fd, &byte, 1)))
        errx(1, "the other end has closed");
    return (double)bytes / (seconds() - begin) / 1e6;
}

static double move_pieces(int fd, bool to_server, const ClientOptions *options,
                          const Blocks *blocks)
{
    uint64_t bytes = 0;

    client_request(fd, to_server ? SERVER_BULK_SINK : SERVER_BULK_SOURCE, options, options->block,
                   0);
    double took = (to_server ? memory_send : memory_take)(fd, &options->place, blocks, &bytes);
    return (double)bytes / took / 1e6;
}

static pid_t start_load(int fd, bool to_server, bool bulk, const ClientOptions *options,
                        const Blocks *blocks)
{
    pid_t child = fork();

    if (child < 0)
        err(1, "fork");
    if (child > 0)
        return child;
    double rate = (bulk ? move_pieces : move_blocks)(fd, to_server, options, blocks);
    exit(write_all(blocks->tell, &rate, sizeof(rate)) ? 0 : 1);
}

void client_loaded(int fd, int other, bool to_server, bool bulk, const ClientOptions *options)
{
    int stop[2], tell[2];
    double rate = 0;
    char byte;

    if (pipe(stop) < 0 || pipe(tell) < 0)
        err(1, "pipe");
    Blocks blocks = {.size = options->block,
                     .stop = stop[0],
                     .tell = tell[1],
                     .tell_after = (unsigned)(FLOWING / options->block)};
    pid_t child = start_load(other, to_server, bulk, options, &blocks);
    close(tell[1]);
    if (!read_all(tell[0], &byte, 1))
        errx(1, "the load did not begin");
    client_request(fd, SERVER_ECHO, options, options->size, 0);
    size_t n = client_play(fd, options, LOADED_S);
    // A server that sends blocks is told on their connection.
    if (!write_all(to_server || bulk ? stop[1] : other, "", 1) ||
        !read_all(tell[0], &rate, sizeof(rate)))
        errx(1, "the load did not end well");
    (void)waitpid(child, NULL, 0);
    client_print_times(n, rate);
}
