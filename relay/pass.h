// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Sending a descriptor to a program over a unix socket.
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

// As writev(), and `fd` comes with the first byte, in SCM_RIGHTS; it stays the caller's.
ssize_t mux_pass(int socket, const struct iovec *pieces, size_t n, int fd);
