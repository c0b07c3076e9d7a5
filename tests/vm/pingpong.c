// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// pingpong [-n ROUNDS] [-s SIZE] [-i PAUSE] PATH [NAME]: sends a message to an echo and waits until
// it is back, again and again, and prints how long that took:
//
//     rounds 1000 size 64 p50 310 p99 840 max 1803 us
//
// PATH is the daemon's socket and NAME a service; or PATH alone is a device or a listening socket
// whose other end echoes, for the figures without guestmux. PAUSE is in microseconds, and stands
// for the person who types. SIGTERM ends it before its rounds are over, figures and all.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"

#define ROUNDS_MAX 1000000
#define SIZE_MAX_  65536

static volatile sig_atomic_t stopped;

static void on_term(int sig)
{
    (void)sig;
    stopped = 1;
}

// False when the other end is gone, or when it is to stop.
static bool move_all(int fd, char *bytes, size_t size, bool out)
{
    while (size > 0 && !stopped) {
        ssize_t n = out ? write(fd, bytes, size) : read(fd, bytes, size);
        if (n <= 0 && errno != EINTR && errno != EAGAIN) {
            (void)fprintf(stderr, "pingpong: %s\n", n == 0 ? "closed" : strerror(errno));
            return false;
        }
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return size == 0;
}

// 0 when the other end is gone, or when it is to stop.
static uint64_t play(int fd, uint64_t *noise, size_t size)
{
    static uint64_t ping[SIZE_MAX_ / sizeof(uint64_t)], pong[SIZE_MAX_ / sizeof(uint64_t)];

    for (size_t i = 0; i * sizeof(uint64_t) < size; i++)
        ping[i] = app_noise(noise);
    uint64_t begin = app_now_us();
    errno = 0;
    if (!move_all(fd, (char *)ping, size, true) || !move_all(fd, (char *)pong, size, false))
        return 0;
    uint64_t took = app_now_us() - begin;
    if (memcmp(ping, pong, size) != 0) {
        (void)fprintf(stderr, "pingpong: the echo is not what was sent\n");
        exit(3);
    }
    return took > 0 ? took : 1;
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int report(uint32_t *times, size_t n, size_t size)
{
    if (n == 0)
        return 1;
    qsort(times, n, sizeof(*times), compare);
    (void)printf("rounds %zu size %zu p50 %u p99 %u max %u us\n", n, size, times[n / 2],
                 times[n * 99 / 100], times[n - 1]);
    return 0;
}

static int run(int fd, size_t rounds, size_t size, useconds_t pause)
{
    static uint32_t times[ROUNDS_MAX];
    uint64_t noise = app_now_us() | 1, took;
    size_t n = 0;

    while (n < rounds && !stopped && (took = play(fd, &noise, size)) > 0) {
        times[n++] = (uint32_t)took;
        if (pause > 0)
            (void)usleep(pause);
    }
    int status = report(times, n, size);
    return n == rounds || stopped ? status : 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_term};
    size_t rounds = 1000, size = 64, pause = 0;

    for (int option; (option = getopt(argc, argv, "n:s:i:")) != -1;) {
        size_t number = option == '?' ? 0 : strtoul(optarg, NULL, 10);
        *(option == 'n' ? &rounds : option == 's' ? &size : &pause) = number;
    }
    int left = argc - optind;
    if (left < 1 || left > 2 || rounds > ROUNDS_MAX || size < 1 || size > SIZE_MAX_) {
        (void)fprintf(stderr, "usage: pingpong [-n ROUNDS] [-s SIZE] [-i PAUSE] PATH [NAME]\n");
        return 2;
    }
    (void)sigaction(SIGTERM, &action, NULL); // without SA_RESTART: a read ends, too
    int fd = left == 2 ? app_open(argv[optind], argv[optind + 1])
                       : open(argv[optind], O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        if (left == 1)
            perror(argv[optind]);
        return 1;
    }
    return run(fd, rounds, size, (useconds_t)pause);
}
