// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// many [-c CHANNELS] [-k KIB] SOCKET NAME: channels to an echo, all at once, each with a stream of
// its own that is compared byte for byte with what comes back. A byte of another channel, or of an
// earlier run, shows.
//
// With -k each sends that much, half-closes, and wants its echo's end after the last byte.
// Otherwise they go on until they are closed, or until SIGTERM. "all open" is printed when each got
// its first echo, and in the end:
//
//     channels 20 done 0 closed 20 half 0 wrong 0 bytes 183000 first-to-last-ms 3
//
// done: ended as wanted. closed: by the other side, both directions at once. half: only one.
// The status is 0 when nothing was wrong or half.

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

#define CHANNELS_MAX 10000
#define CHUNK        4096

typedef struct Channel {
    uint64_t noise; // of both directions, since a chunk is not sent before the last is back
    size_t left;    // to be sent in all
    size_t size, sent, back; // of this chunk
    bool echoed, shut;
    unsigned char chunk[CHUNK];
} Channel;

typedef struct Counts {
    size_t open, echoed, done, closed, half, wrong, bytes;
    uint64_t first_us, last_us;
} Counts;

static volatile sig_atomic_t stopped;

static void on_term(int sig)
{
    (void)sig;
    stopped = 1;
}

static void next_chunk(Channel *channel)
{
    size_t size = 1 + app_noise(&channel->noise) % CHUNK;

    channel->size = size < channel->left ? size : channel->left;
    channel->sent = channel->back = 0;
    for (size_t i = 0; i < channel->size; i++)
        channel->chunk[i] = (unsigned char)(app_noise(&channel->noise) >> 56);
}

static void send_some(Channel *channel, int fd)
{
    ssize_t n = channel->size == channel->sent
                    ? 0
                    : send(fd, channel->chunk + channel->sent, channel->size - channel->sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    channel->sent += n > 0 ? (size_t)n : 0;
    if (channel->left == 0 && !channel->shut)
        channel->shut = shutdown(fd, SHUT_WR) == 0;
}

static bool compare(Channel *channel, const unsigned char *bytes, size_t n)
{
    if (n > channel->sent - channel->back || memcmp(channel->chunk + channel->back, bytes, n) != 0)
        return false;
    channel->back += n;
    if (channel->back == channel->size) {
        channel->left -= channel->size;
        next_chunk(channel);
    }
    return true;
}

// It reads no more. Whether it writes no more either shows at once, if it does.
static void ended(Channel *channel, struct pollfd *fd, Counts *counts)
{
    struct pollfd again = {.fd = fd->fd};

    (void)poll(&again, 1, 0);
    if (channel->shut && channel->left == 0)
        counts->done++;
    else if (again.revents & POLLHUP)
        counts->closed++;
    else
        counts->half++;
    counts->last_us = app_now_us();
    if (counts->first_us == 0)
        counts->first_us = counts->last_us;
    close(fd->fd);
    fd->fd = -1;
    counts->open--;
}

static void receive(Channel *channel, struct pollfd *fd, Counts *counts)
{
    unsigned char bytes[CHUNK];
    ssize_t n = recv(fd->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        ended(channel, fd, counts);
        return;
    }
    counts->bytes += (size_t)n;
    if (!compare(channel, bytes, (size_t)n)) {
        counts->wrong++;
        ended(channel, fd, counts);
    } else if (!channel->echoed) {
        channel->echoed = true;
        counts->echoed++;
    }
}

static void run(Channel *channels, struct pollfd *fds, size_t n, Counts *counts)
{
    bool said = false;

    while (counts->open > 0 && !stopped) {
        for (size_t i = 0; i < n; i++) {
            Channel *channel = &channels[i];
            bool more = channel->sent < channel->size || (channel->left == 0 && !channel->shut);
            fds[i].events = (short)(POLLIN | (more ? POLLOUT : 0));
        }
        // With a time limit, since the signal may come just before.
        if (poll(fds, n, 100) < 0)
            return;
        for (size_t i = 0; i < n; i++) {
            if (fds[i].fd >= 0 && fds[i].revents & POLLOUT)
                send_some(&channels[i], fds[i].fd);
            if (fds[i].fd >= 0 && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
                receive(&channels[i], &fds[i], counts);
        }
        if (!said && counts->echoed == n) {
            (void)printf("all open\n");
            (void)fflush(stdout);
            said = true;
        }
    }
}

// False when not all could be opened.
static bool open_all(char **arguments, Channel *channels, struct pollfd *fds, size_t n, size_t left)
{
    uint64_t seed = app_now_us();

    for (size_t i = 0; i < n; i++) {
        fds[i].fd = app_open(arguments[0], arguments[1]);
        if (fds[i].fd < 0)
            return false;
        channels[i].noise = (seed << 20) + i * 2 + 1;
        channels[i].left = left;
        next_chunk(&channels[i]);
    }
    return true;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_term};
    size_t n = 1, left = SIZE_MAX;
    Counts counts = {0};

    for (int option; (option = getopt(argc, argv, "c:k:")) != -1;) {
        if (option == 'c')
            n = strtoul(optarg, NULL, 10);
        else
            left = option == 'k' ? strtoul(optarg, NULL, 10) * 1024 : 0;
    }
    if (argc - optind != 2 || n < 1 || n > CHANNELS_MAX || left == 0) {
        (void)fprintf(stderr, "usage: many [-c CHANNELS] [-k KIB] SOCKET NAME\n");
        return 2;
    }
    Channel *channels = calloc(n, sizeof(*channels));
    struct pollfd *fds = calloc(n, sizeof(*fds));
    if (!channels || !fds || !open_all(argv + optind, channels, fds, n, left))
        return 1;
    (void)sigaction(SIGTERM, &action, NULL);
    counts.open = n;
    run(channels, fds, n, &counts);
    (void)printf("channels %zu done %zu closed %zu half %zu wrong %zu bytes %zu "
                 "first-to-last-ms %llu\n",
                 n, counts.done, counts.closed, counts.half, counts.wrong, counts.bytes,
                 (unsigned long long)(counts.last_us - counts.first_us) / 1000);
    free(channels);
    free(fds);
    return counts.half + counts.wrong > 0 ? 1 : 0;
}
