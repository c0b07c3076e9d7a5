// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How evenly busy channels share a link. One process writes to all of them, channel i always
// 2^(i mod 17) bytes at a time, 1 to 65,536; one is the handler of all, and counts.
//
// What is wanted is what the daemons do, so neither end may be what decides:
//
// - The reader takes whatever comes from whomever, at once. The link is slow (crowd-cable.c), so
//   the reader is idle most of the time, and no channel ever waits for it.
// - The writer fills a channel's socket up whenever there is room. A write of one byte costs as
//   much as one of 4 KiB, and in the kernel each takes some 700 bytes of the socket's buffer: those
//   channels never have more than 300 bytes waiting, and on a fast link their writer is the limit.
//   On one that is slow enough it fills a socket up before the channel's next turn.
// - Whether that is so is measured: every now and then the writer looks at how many bytes wait in
//   each socket. `kept` is the part of these times that the worst channel had some. If that is near
//   0, the figures are the writer's and not the daemons'.
//
// What is counted begins after as many bytes as give everybody one turn: all sockets are full then,
// and first turns and windows that still grow are over. It ends after so many bytes, not after so
// much time, so that it can be made whole rounds.

#include <err.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "stream.h"

#define EVENTS 256
#define SIZES  17
// At most so much is one channel's turn.
#define TURN 32768
// Calls for one channel before the others are looked at: enough to fill any up.
#define CALLS    8
#define SAMPLE_S 0.05
// Small writes that go with one system call, up to this size.
#define TOGETHER 128
#define SMALL    1024

// What both processes see.
typedef struct Shared {
    volatile int measuring;
    unsigned samples;
    unsigned waiting[]; // by channel: of the samples, when it had bytes waiting
} Shared;

typedef struct Sunk {
    int fd;
    uint32_t index;
    bool known; // the index, which is what comes first
    uint64_t bytes;
} Sunk;

static char bytes[65536];

static void watch(int epoll, int fd, uint32_t events, struct epoll_event event)
{
    event.events = events;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll");
}

static int wait_for(int epoll, struct epoll_event *events, int timeout_ms)
{
    int n = epoll_wait(epoll, events, EVENTS, timeout_ms);

    if (n < 0 && errno != EINTR)
        err(1, "epoll");
    return n > 0 ? n : 0;
}

// ---- the writer ----

// Returns whether there may be room for more.
static bool write_some(int fd, size_t size)
{
    struct iovec piece = {bytes, size};
    struct mmsghdr messages[TOGETHER] = {0};
    int wanted = size <= SMALL ? TOGETHER : 1;

    for (int i = 0; i < wanted; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
    int n = sendmmsg(fd, messages, (unsigned)wanted, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        exit(0); // the other process has seen enough
    return n == wanted && messages[n - 1].msg_len == size;
}

static void fill_up(int fd, size_t size)
{
    for (int i = 0; i < CALLS && write_some(fd, size); i++) {
    }
}

static void look(const int *fds, size_t count, Shared *shared)
{
    for (size_t i = 0; i < count; i++) {
        int waiting = 0;
        (void)ioctl(fds[i], SIOCOUTQ, &waiting);
        shared->waiting[i] += waiting > 0;
    }
    shared->samples++;
}

static void write_for_ever(const int *fds, size_t count, Shared *shared)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    double next = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!write_all(fds[i], &i, sizeof(i)))
            errx(1, "a channel has ended");
        crowd_set_nonblocking(fds[i]);
        watch(epoll, fds[i], EPOLLOUT, (struct epoll_event){.data.u32 = i});
    }
    for (;;) {
        int n = wait_for(epoll, events, (int)(SAMPLE_S * 1000));
        for (int i = 0; i < n; i++) {
            uint32_t index = events[i].data.u32;
            fill_up(fds[index], (size_t)1 << index % SIZES);
        }
        if (shared->measuring && seconds() >= next) {
            look(fds, count, shared);
            next = seconds() + SAMPLE_S;
        }
    }
}

static pid_t start_writer(size_t count, const char *path, const char *name, Shared *shared)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    write_for_ever(crowd_open(count, path, name), count, shared);
    exit(1);
}

// ---- the reader ----

static size_t take(Sunk *sunk)
{
    if (!sunk->known) {
        if (!read_all(sunk->fd, &sunk->index, sizeof(sunk->index)))
            errx(1, "a channel has ended");
        sunk->known = true;
        crowd_set_nonblocking(sunk->fd);
        return sizeof(sunk->index);
    }
    ssize_t n = read(sunk->fd, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EAGAIN))
        errx(1, "a channel has ended");
    sunk->bytes += n > 0 ? (uint64_t)n : 0;
    return n > 0 ? (size_t)n : 0;
}

// Until so many bytes have come. How many seconds that took.
static double take_bytes(int epoll, uint64_t wanted)
{
    struct epoll_event events[EVENTS];
    double begin = seconds();

    for (uint64_t came = 0; came < wanted;) {
        int n = wait_for(epoll, events, -1);
        for (int i = 0; i < n; i++)
            came += take(events[i].data.ptr);
    }
    return seconds() - begin;
}

static Sunk *accept_all(int listener, int epoll, size_t count)
{
    Sunk *sunk = calloc(count, sizeof(*sunk));

    if (!sunk)
        err(1, "memory");
    for (size_t i = 0; i < count; i++) {
        sunk[i].fd = accept(listener, NULL, NULL);
        if (sunk[i].fd < 0)
            err(1, "accept");
        watch(epoll, sunk[i].fd, EPOLLIN, (struct epoll_event){.data.ptr = &sunk[i]});
    }
    return sunk;
}

// ---- what came of it ----

// (Σx)² / n Σx²: 1 when all are alike, 1/n when one has everything.
static double jain(const Sunk *sunk, size_t count)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (double)sunk[i].bytes;
        squares += (double)sunk[i].bytes * (double)sunk[i].bytes;
    }
    return squares > 0 ? sum * sum / ((double)count * squares) : 0;
}

static void print_by_size(const Sunk *sunk, size_t count)
{
    double sums[SIZES] = {0};
    unsigned counts[SIZES] = {0};

    for (size_t i = 0; i < count; i++) {
        sums[sunk[i].index % SIZES] += (double)sunk[i].bytes;
        counts[sunk[i].index % SIZES]++;
    }
    (void)printf(", \"mean_by_size\": [");
    for (int i = 0; i < SIZES && counts[i] > 0; i++)
        (void)printf("%s%.0f", i > 0 ? ", " : "", sums[i] / counts[i]);
    (void)printf("]");
}

static void print(const Sunk *sunk, size_t count, const Shared *shared, double took)
{
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    unsigned waiting = shared->samples;

    for (size_t i = 0; i < count; i++) {
        sum += sunk[i].bytes;
        least = sunk[i].bytes < least ? sunk[i].bytes : least;
        most = sunk[i].bytes > most ? sunk[i].bytes : most;
        waiting = shared->waiting[i] < waiting ? shared->waiting[i] : waiting;
    }
    (void)printf(
        "{\"jain\": %.5f, \"bytes\": %ju, \"seconds\": %.3f, \"least\": %ju, \"most\": %ju, "
        "\"kept\": %.3f",
        jain(sunk, count), (uintmax_t)sum, took, (uintmax_t)least, (uintmax_t)most,
        shared->samples > 0 ? (double)waiting / shared->samples : 0);
    print_by_size(sunk, count);
    (void)printf("}\n");
}

void crowd_share(size_t count, uint64_t each, const char *path, const char *name, const char *where)
{
    size_t size = sizeof(Shared) + count * sizeof(unsigned);
    Shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int listener = crowd_listen(where), epoll = epoll_create1(EPOLL_CLOEXEC);

    crowd_need_descriptors(count + 16);
    if (shared == MAP_FAILED)
        err(1, "memory");
    pid_t writer = start_writer(count, path, name, shared);
    Sunk *sunk = accept_all(listener, epoll, count);
    (void)take_bytes(epoll, count * TURN);
    for (size_t i = 0; i < count; i++)
        sunk[i].bytes = 0;
    shared->measuring = 1;
    double took = take_bytes(epoll, count * each);
    shared->measuring = 0;
    (void)kill(writer, SIGKILL);
    (void)waitpid(writer, NULL, 0);
    print(sunk, count, shared, took);
    free(sunk);
}
