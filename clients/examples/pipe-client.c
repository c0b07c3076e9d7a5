// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The smallest client there can be: connect, write the service's name with its NUL, and the socket
// is the service. This is all that AndroidPipe's qemu_pipe_open() does, so such programs work as
// they are.
//
//     pipe-client [SOCKET] SERVICE TEXT     sends TEXT, prints what comes back until the service
//     ends

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int open_pipe(const char *path, const char *service)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        send(fd, service, strlen(service) + 1, MSG_NOSIGNAL) < 0) {
        perror(path);
        return -1;
    }
    return fd;
}

int main(int argc, char **argv)
{
    char buffer[4096];
    ssize_t n;

    if (argc != 3 && argc != 4) {
        (void)fprintf(stderr, "usage: pipe-client [SOCKET] SERVICE TEXT\n");
        return 2;
    }
    int fd = open_pipe(argc == 4 ? argv[1] : "/run/guestmux.sock", argv[argc - 2]);
    if (fd < 0)
        return 1;
    // A service may answer and be gone without having read a word. Then this fails, or the reading
    // ends with ECONNRESET, after all that it wrote: only without an answer was it refused. In this
    // style nothing is said, the socket is closed.
    bool answered = false;
    int error = send(fd, argv[argc - 1], strlen(argv[argc - 1]), MSG_NOSIGNAL) < 0 ? errno : 0;

    (void)shutdown(fd, SHUT_WR); // no more from us; the answer still comes
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        answered = fwrite(buffer, 1, (size_t)n, stdout) > 0;
    if (n < 0)
        error = errno;
    (void)close(fd);
    if (answered || error == 0)
        return 0;
    (void)fprintf(stderr, "%s: %s\n", argv[argc - 2], strerror(error));
    return 1;
}
