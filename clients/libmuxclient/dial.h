// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Time limits, finding the daemon, and sending to it.
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A moment of the monotonic clock in microseconds, or this.
typedef int64_t MuxClientDeadline;
#define MUX_CLIENT_NEVER (-1)

MuxClientDeadline mux_client_deadline(int timeout_ms);

// Whether it has passed. To be asked in every loop that goes on as long as something comes, since
// what comes may be the other side's doing.
bool mux_client_over(MuxClientDeadline deadline);

// Waits until the descriptor has one of `events`, an error or a hang-up. 0, MUX_CLIENT_TIMEOUT, or
// a negative errno.
int mux_client_poll(int fd, short events, MuxClientDeadline deadline);

// The same for several descriptors.
int mux_client_poll_all(struct pollfd *items, unsigned n, MuxClientDeadline deadline);

// Connects to the daemon; muxclient.h says what `socket` is. The descriptor is the caller's.
// 0, MUX_CLIENT_TIMEOUT, or a negative errno.
int mux_client_dial(const char *socket, MuxClientDeadline deadline, int *ret_fd);

// Sends all of it. 0, MUX_CLIENT_TIMEOUT, or a negative errno; -EPIPE when the daemon closed, and
// then an answer may still be there to be read.
int mux_client_send(int fd, const void *bytes, size_t size, MuxClientDeadline deadline);
