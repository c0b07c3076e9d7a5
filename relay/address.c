// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// No names are resolved: that would block, and what a service is joined to is written down by an
// administrator.

#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS // headers from before Linux 6.16
#define SO_PASSRIGHTS 83
#endif

bool mux_address_unix(const char *path, MuxAddress *ret_address, GError **error)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    if (path[0] == '\0' || strlen(path) >= sizeof(sun.sun_path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s': a socket's path has 1 to %zu bytes", path, sizeof(sun.sun_path) - 1);
        return false;
    }
    memcpy(sun.sun_path, path, strlen(path));
    *ret_address = (MuxAddress){.length = sizeof(sun)};
    memcpy(&ret_address->storage, &sun, sizeof(sun));
    return true;
}

static bool parse_host(const char *host, uint16_t port, MuxAddress *ret_address)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    *ret_address = (MuxAddress){.tcp = true};
    if (inet_pton(AF_INET, host, &in4.sin_addr) == 1) {
        ret_address->length = sizeof(in4);
        memcpy(&ret_address->storage, &in4, sizeof(in4));
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        ret_address->length = sizeof(in6);
        memcpy(&ret_address->storage, &in6, sizeof(in6));
        return true;
    }
    return false;
}

static bool parse_tcp(const char *text, MuxAddress *ret_address)
{
    const char *colon = strrchr(text, ':');
    guint64 port;

    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
        return false;
    g_autofree char *host = g_strndup(text, (gsize)(colon - text));
    size_t length = strlen(host);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        return parse_host(host + 1, (uint16_t)port, ret_address);
    }
    return parse_host(host, (uint16_t)port, ret_address);
}

bool mux_address_parse(const char *text, MuxAddress *ret_address, GError **error)
{
    if (g_str_has_prefix(text, "unix:"))
        return mux_address_unix(text + strlen("unix:"), ret_address, error);
    if (g_str_has_prefix(text, "tcp:") && parse_tcp(text + strlen("tcp:"), ret_address))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "'%s' is no address: write unix:PATH or tcp:NUMERIC-HOST:PORT", text);
    return false;
}

int mux_address_connect(const MuxAddress *address, int *ret_fd)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0)
        return -errno;
    if (address->tcp)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    else
        mux_address_refuse_descriptors(fd);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0) {
        *ret_fd = fd;
        return 0;
    }
    int r = -errno;
    if (r == -EINPROGRESS) {
        *ret_fd = fd;
        return MUX_CONNECTING;
    }
    close(fd);
    return r == -EAGAIN ? MUX_CONNECT_BUSY : r;
}

int mux_address_connected(int fd)
{
    int result = 0;
    socklen_t length = sizeof(result);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length) < 0)
        return -errno;
    return -result;
}

void mux_address_refuse_descriptors(int fd)
{
    int none = 0;

    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &none, sizeof(none));
}
