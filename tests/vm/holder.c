// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A test app that has a device's memory as apps of guestmux have it: a descriptor that a process of
// another user opened.
//
//     holder PATH ro|rw UID       opens PATH, becomes UID, maps it, and closes the descriptor
//     holder PATH ro|rw UID open    keeps the descriptor, and maps nothing
//     holder PATH ro|rw UID parked  leaves the descriptor in a socket, where nobody sees it
//
// Prints "mapped", "open", "parked" or what failed; then at each SIGUSR1 the first 16 bytes in
// hexadecimal, until it is killed. SIGUSR2 writes there.

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN 16

static _Noreturn void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void show(const volatile uint8_t *memory)
{
    for (int i = 0; i < SHOWN; i++)
        printf("%02x", memory[i]);
    printf("\n");
}

static void park(int fd)
{
    char byte = 0;
    struct iovec piece = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int ends[2];

    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || sendmsg(ends[0], &message, 0) < 0)
        fail("sendmsg");
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    bool write = strcmp(argv[2], "rw") == 0;
    uid_t uid = (uid_t)strtoul(argv[3], NULL, 10);
    struct stat status;
    sigset_t signals;
    int signal;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = open(argv[1], (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        fail("open");
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        fail("setuid");
    if (argc > 4) {
        if (strcmp(argv[4], "parked") == 0)
            park(fd);
        printf("%s\n", argv[4]);
        for (;;)
            (void)pause();
    }
    int protection = PROT_READ | (write ? PROT_WRITE : 0);
    void *memory = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    if (!write && mprotect(memory, (size_t)status.st_size, PROT_READ | PROT_WRITE) == 0)
        printf("writable\n");
    close(fd);
    printf("mapped\n");
    while (sigwait(&signals, &signal) == 0) {
        if (signal == SIGUSR2)
            memset(memory, 0xff, SHOWN);
        show(memory);
    }
    return 0;
}
