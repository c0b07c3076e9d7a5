// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A test app that has a buffer, and does not let go of it as it should.
//
//     keeper SOCKET REQUEST        asks the daemon with that JSON, and maps the memory
//     keeper SOCKET REQUEST keep   when told that it is gone: keeps the mapping, and nothing else
//     keeper SOCKET REQUEST park   maps nothing; the descriptor waits in a socket, where nobody
//                                  sees it, until SIGUSR2 maps it
//
// Prints the answer, then what it is told. SIGUSR1: the first 16 bytes in hexadecimal, and how many
// of all are not 0. Without a word it ends when it is told that the buffer is gone.

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app.h"

#define SHOWN      16
#define ANSWER_MAX 8192

enum { NOTICE = 1, PROPERTIES, GONE };

typedef struct Keeper {
    int handle, memory; // -1: closed
    int parked[2];
    const unsigned char *base; // NULL: not mapped
    size_t size;
} Keeper;

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

// The first byte of the answer, with the descriptor, if one comes.
static int take_descriptor(int handle, char *ret_byte)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec byte = {ret_byte, 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(handle, &message, MSG_CMSG_CLOEXEC) != 1)
        fail("no answer");
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

static void give_descriptor(int to, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec byte = {(char[]){'x'}, 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    if (sendmsg(to, &message, 0) != 1)
        fail("sendmsg");
}

static void ask(Keeper *keeper, const char *path, const char *request)
{
    char line[ANSWER_MAX];
    size_t n = 0;

    keeper->handle = app_open(path, "@buffer");
    if (keeper->handle < 0)
        exit(1);
    if (dprintf(keeper->handle, "%s\n", request) < 0)
        fail("write");
    keeper->memory = take_descriptor(keeper->handle, line);
    while (line[n++] != '\n')
        if (n == sizeof(line) || read(keeper->handle, line + n, 1) != 1)
            fail("no whole answer");
    printf("%.*s", (int)n, line);
    if (keeper->memory < 0)
        exit(1);
}

static void map(Keeper *keeper)
{
    struct stat status;

    if (fstat(keeper->memory, &status) < 0)
        fail("fstat");
    keeper->size = (size_t)status.st_size;
    void *base = mmap(NULL, keeper->size, PROT_READ, MAP_SHARED, keeper->memory, 0);
    if (base == MAP_FAILED)
        fail("mmap");
    keeper->base = base;
    // What is read-only has to stay so.
    base = mmap(NULL, keeper->size, PROT_READ | PROT_WRITE, MAP_SHARED, keeper->memory, 0);
    if (base == MAP_FAILED)
        printf("not writable: %s\n", strerror(errno));
    else
        (void)munmap(base, keeper->size);
}

static void close_descriptor(Keeper *keeper)
{
    close(keeper->memory);
    keeper->memory = -1;
}

static void park(Keeper *keeper)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, keeper->parked) < 0)
        fail("socketpair");
    give_descriptor(keeper->parked[0], keeper->memory);
    close_descriptor(keeper);
}

static void show(const Keeper *keeper)
{
    size_t used = 0;

    for (size_t i = 0; i < keeper->size; i++)
        used += keeper->base[i] != 0;
    for (size_t i = 0; i < SHOWN; i++)
        printf("%02x", keeper->base[i]);
    printf(" %zu\n", used);
}

static void on_signal(Keeper *keeper, int signals)
{
    struct signalfd_siginfo info;
    char byte;

    if (read(signals, &info, sizeof(info)) != sizeof(info))
        fail("signalfd");
    if (info.ssi_signo == SIGUSR1) {
        show(keeper);
        return;
    }
    keeper->memory = take_descriptor(keeper->parked[1], &byte);
    map(keeper);
    close_descriptor(keeper);
    printf("mapped\n");
}

static bool read_all(int fd, void *bytes, size_t n)
{
    return n == 0 || recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

// False when the buffer is gone.
static bool on_record(const Keeper *keeper)
{
    static const char *const names[] = {"?", "notice", "properties", "gone"};
    uint32_t head[2];
    char payload[65537];

    if (!read_all(keeper->handle, head, sizeof(head)) || head[0] > GONE || head[1] > 65536 ||
        !read_all(keeper->handle, payload, head[1])) {
        printf("closed\n");
        return false;
    }
    payload[head[1]] = '\0';
    if (head[0] == NOTICE) {
        uint64_t notice[3];
        memcpy(notice, payload, sizeof(notice));
        printf("notice %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", notice[0], notice[1], notice[2]);
    } else {
        printf("%s %s\n", names[head[0]], payload);
    }
    return head[0] != GONE;
}

static int watch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    Keeper keeper = {.memory = -1};
    bool stays = argc > 3, parks = stays && strcmp(argv[3], "park") == 0;

    if (argc < 3)
        return 2;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct pollfd fds[2] = {{watch_signals(), POLLIN, 0}, {-1, POLLIN, 0}};
    ask(&keeper, argv[1], argv[2]);
    if (parks)
        park(&keeper);
    else
        map(&keeper);
    printf("ready\n");
    fds[1].fd = keeper.handle;
    while (poll(fds, 2, -1) > 0) {
        if (fds[0].revents)
            on_signal(&keeper, fds[0].fd);
        if (!fds[1].revents || on_record(&keeper))
            continue;
        if (!stays)
            return 0;
        if (keeper.memory >= 0)
            close_descriptor(&keeper);
        close(keeper.handle);
        fds[1].fd = -1;
    }
    return 1;
}
