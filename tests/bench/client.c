// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server.h"
#include "stream.h"

#define ROUNDS_MAX 1000000
// rtt ends after so many seconds, if its rounds take longer.
#define IDLE_S 10.0

static double times[ROUNDS_MAX];

void client_request(int fd, ServerTask task, const ClientOptions *options, size_t size,
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

void client_print_times(size_t n, double loaded_MBps)
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

size_t client_play(int fd, const ClientOptions *options, double limit_s)
{
    static char ping[65536], pong[65536];
    double start = seconds();
    size_t n = 0;

    if (options->rounds > ROUNDS_MAX || options->size > sizeof(ping))
        errx(1, "too many rounds, or too large a message");
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

void client_rtt(int fd, const ClientOptions *options)
{
    client_request(fd, SERVER_ECHO, options, options->size, 0);
    client_print_times(client_play(fd, options, IDLE_S), 0);
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

    client_request(fd, SERVER_SOURCE, options, options->block, blocks_of(options));
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

    client_request(fd, SERVER_SINK, options, options->block, 0);
    uint64_t bytes = send_blocks(fd, &blocks);
    if (bytes == 0 || !read_all(fd, &byte, 1))
        errx(1, "the other end has closed");
    print_rate(bytes, seconds() - begin);
}

// ---- Buffers ----

void client_bulk_source(int fd, const ClientOptions *options)
{
    Blocks blocks = {.stop = -1, .tell = -1};
    uint64_t bytes = 0;

    client_request(fd, SERVER_BULK_SOURCE, options, options->block, blocks_of(options));
    double took = memory_take(fd, &options->place, &blocks, &bytes);
    print_rate(bytes, took);
}

void client_bulk_sink(int fd, const ClientOptions *options)
{
    Blocks blocks = {.size = options->block, .count = blocks_of(options), .stop = -1, .tell = -1};
    uint64_t bytes = 0;

    client_request(fd, SERVER_BULK_SINK, options, options->block, 0);
    double took = memory_send(fd, &options->place, &blocks, &bytes);
    print_rate(bytes, took);
}

void client_notices(int fd, const ClientOptions *options)
{
    if (options->rounds > ROUNDS_MAX)
        errx(1, "too many rounds");
    memory_time_notices(fd, &options->place, times, options->rounds);
    client_print_times(options->rounds, 0);
}
