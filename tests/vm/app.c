// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the test apps share; see app.h.

#include "app.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t app_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// Byte by byte, since what follows the line is the channel's.
static int read_answer(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    return strcmp(line, "OK") == 0 ? 0 : -1;
}

int app_open(const char *socket_path, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char line[1024] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    (void)snprintf(line, sizeof(line), "%s\n", name);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        write(fd, line, strlen(line)) < 0) {
        perror(socket_path);
    } else if (read_answer(fd, line, sizeof(line)) < 0) {
        (void)fprintf(stderr, "%s: %s\n", name, line[0] ? line : "closed without an answer");
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}
