// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See sd_notify(3), "Notes": the protocol is documented there as stable and meant to be spoken
// directly.

#include "notify.h"

#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pass.h"

// Connected, so that a descriptor can be passed. -1: nobody asked to be told.
static int connect_to(const char *path, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') // an abstract socket
        address.sun_path[0] = '\0';
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, length) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void mux_notify(const char *state)
{
    int socket = connect_to(g_getenv("NOTIFY_SOCKET"), 0);

    if (socket < 0)
        return;
    (void)send(socket, state, strlen(state), MSG_NOSIGNAL);
    close(socket);
}

bool mux_notify_store(const char *state, int fd)
{
    const struct iovec text = {(void *)state, strlen(state)};
    int socket = connect_to(g_getenv("NOTIFY_SOCKET"), SOCK_NONBLOCK);

    if (socket < 0)
        return false;
    ssize_t n = fd >= 0 ? mux_pass(socket, &text, 1, fd)
                        : send(socket, text.iov_base, text.iov_len, MSG_NOSIGNAL);
    close(socket);
    return n >= 0;
}
