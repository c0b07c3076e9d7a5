// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Where a socket is, `unix:PATH` or `tcp:HOST:PORT` (numeric HOST, `[…]` for IPv6), and connecting
// to it. Descriptors come back nonblocking and close-on-exec.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef struct MuxAddress {
    struct sockaddr_storage storage;
    socklen_t length;
    bool tcp;
} MuxAddress;

// `text` is "unix:PATH" or "tcp:HOST:PORT". False with an error that names what is wrong.
bool mux_address_parse(const char *text, MuxAddress *ret_address, GError **error);
// A unix socket's path. False with an error when it is too long.
bool mux_address_unix(const char *path, MuxAddress *ret_address, GError **error);

#define MUX_CONNECTING   1 // EPOLLOUT says when; then mux_address_connected()
#define MUX_CONNECT_BUSY 2 // a unix socket's queue is full: try again later

// Connects. 0, one of the above or a negative errno.
int mux_address_connect(const MuxAddress *address, int *ret_fd);
// What came of MUX_CONNECTING: 0 or a negative errno.
int mux_address_connected(int fd);
// Whoever is at the other end of this unix socket cannot send descriptors. Nobody here takes them,
// and to drop one can take as long as its sender likes (a TCP socket that lingers). No effect
// before Linux 6.16.
void mux_address_refuse_descriptors(int fd);
