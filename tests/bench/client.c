// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server.h"
#include "stream.h"

#define ROUNDS_MAX 1000000
// A measurement ends after so many seconds, if its rounds take longer.
#define IDLE_S   10.0
#define LOADED_S 3.0
// Bytes, after which the other connection counts as busy.
#define FLOWING ((size_t)8 << 20)

static double times[ROUNDS_MAX];

static void request(int fd, ServerTask task, const ClientOptions *options, size_t size,
                    uint64_t count)
{
    ServerRequest request = {
        .task = task, .size = (uint32_t)size, .count = count, .touch = options->touch};

    if (!write_all(fd, &request, sizeof(request)))
        errx(1, "the other end has closed");
}

// ---- What is printed ----

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print_times(size_t n, double loaded_MBps)
{
    if (n == 0)
        errx(1, "nothing was measured");
    qsort(times, n, sizeof(*times), compare);
    (void)printf("{\"rounds\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", n,
                 times[n / 2], times[n * 99 / 100], times[n - 1]);
    if (loaded_MBps > 0)
        (void)printf(", \"load_MBps\": %.1f", loaded_MBps);
    (void)printf("}\n");
}

static void print_rate(uint64_t bytes, double took)
{
    (void)printf("{\"bytes\": %llu, \"seconds\": %.6f, \"MBps\": %.1f}\n",
                 (unsigned long long)bytes, took, (double)bytes / took / 1e6);
}

// ---- Messages ----

// So many were made: fewer than wanted, if the time was over.
static size_t play(int fd, const ClientOptions *options, double limit_s)
{
    static char ping[65536], pong[65536];
    double start = seconds();
    size_t n = 0;

    for (bool last = false; !last; n++) {
        double begin = seconds();
        last = n + 1 == options->rounds || begin - start > limit_s;
        memset(ping, 2 + (int)(n % 100), options->size);
        ping[0] = last;
        if (!write_all(fd, ping, options->size) || !read_all(fd, pong, options->size))
            errx(1, "the other end has closed");
        times[n] = (seconds() - begin) * 1e6;
        if (memcmp(ping, pong, options->size) != 0)
            errx(1, "the echo is not what was sent");
    }
    return n;
}

static void check_messages(const ClientOptions *options)
{
    if (options->rounds > ROUNDS_MAX || options->size > 65536)
        errx(1, "too many rounds, or too large a message");
}

void client_rtt(int fd, const ClientOptions *options)
{
    check_messages(options);
    request(fd, SERVER_ECHO, options, options->size, 0);
    print_times(play(fd, options, IDLE_S), 0);
}

// ---- Blocks ----

static uint64_t blocks_of(const ClientOptions *options)
{
    return (options->bytes + options->block - 1) / options->block;
}

void client_source(int fd, const ClientOptions *options)
{
    Blocks blocks = {.size = options->block, .touch = options->touch, .tell = -1};
    double begin = seconds();

    request(fd, SERVER_SOURCE, options, options->block, blocks_of(options));
    uint64_t bytes = take_blocks(fd, &blocks);
    if (bytes == 0)
        errx(1, "the other end has closed");
    print_rate(bytes, seconds() - begin);
}

void client_sink(int fd, const ClientOptions *options)
{
    Blocks blocks = {
        .size = options->block, .count = blocks_of(options), .touch = options->touch, .tell = -1};
    double begin = seconds();
    char byte;

    request(fd, SERVER_SINK, options, options->block, 0);
    uint64_t bytes = send_blocks(fd, &blocks);
    if (bytes == 0 || !read_all(fd, &byte, 1))
        errx(1, "the other end has closed");
    print_rate(bytes, seconds() - begin);
}

// ---- Messages beside blocks ----

// A process of its own. It tells when it is flowing, and at its end how fast it was.
static void load(int fd, bool to_server, const ClientOptions *options, int stop, int tell)
{
    Blocks blocks = {.size = options->block,
                     .stop = stop,
                     .tell = tell,
                     .tell_after = (unsigned)(FLOWING / options->block)};
    double begin = seconds();
    char byte;

    request(fd, to_server ? SERVER_SINK : SERVER_SOURCE, options, options->block, 0);
    uint64_t bytes = to_server ? send_blocks(fd, &blocks) : take_blocks(fd, &blocks);
    if (bytes == 0 || (to_server && !read_all(fd, &byte, 1)))
        errx(1, "the other end has closed");
    double rate = (double)bytes / (seconds() - begin) / 1e6;
    (void)write_all(tell, &rate, sizeof(rate));
    exit(0);
}

void client_loaded(int fd, int other, bool to_server, const ClientOptions *options)
{
    int stop[2], tell[2];
    double rate = 0;
    char byte;

    check_messages(options);
    if (pipe(stop) < 0 || pipe(tell) < 0)
        err(1, "pipe");
    if (fork() == 0)
        load(other, to_server, options, stop[0], tell[1]);
    close(tell[1]);
    if (!read_all(tell[0], &byte, 1))
        errx(1, "the load did not begin");
    request(fd, SERVER_ECHO, options, options->size, 0);
    size_t n = play(fd, options, LOADED_S);
    if (!write_all(to_server ? stop[1] : other, "", 1) || !read_all(tell[0], &rate, sizeof(rate)))
        errx(1, "the load did not end well");
    (void)wait(NULL);
    print_times(n, rate);
}

// ---- Buffers ----

void client_bulk_source(int fd, const ClientOptions *options)
{
    uint64_t bytes = 0;

    request(fd, SERVER_BULK_SOURCE, options, options->block, blocks_of(options));
    double took = memory_take(fd, &options->place, &bytes);
    print_rate(bytes, took);
}

void client_bulk_sink(int fd, const ClientOptions *options)
{
    request(fd, SERVER_BULK_SINK, options, options->block, 0);
    double took = memory_send(fd, &options->place, options->block, blocks_of(options));
    print_rate(blocks_of(options) * options->block, took);
}

void client_notices(int fd, const ClientOptions *options)
{
    check_messages(options);
    memory_time_notices(fd, &options->place, times, options->rounds);
    print_times(options->rounds, 0);
}
