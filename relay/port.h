// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The byte pipe under a link: a virtio-serial device in the guest, QEMU's chardev socket on the
// host. It opens itself, and opens itself again.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "loop.h"

typedef struct MuxPort MuxPort;

typedef struct MuxPortEvents {
    // The other end is there: bytes can go both ways.
    void (*up)(void *user);
    // It is gone, with everything that was on the way; `why` is for people.
    void (*down)(void *user, const char *why);
    // It can be read, or written again after mux_port_write() wrote less than all.
    void (*ready)(void *user);
} MuxPortEvents;

// `spec` is "unix:PATH" (connects, and connects again), "listen:PATH" (waits to be connected to), a
// device's PATH, or NULL for a device that mux_port_set_device() names later. NULL with an error
// when it is no such thing or cannot be listened on. `what` it is, is for the log. Nothing is
// called before the loop runs.
MuxPort *mux_port_new(MuxLoop *loop, const char *what, const char *spec,
                      const MuxPortEvents *events, void *user, GError **error);
// Closes it without calling anybody. NULL is fine; returns NULL.
MuxPort *mux_port_free(MuxPort *port);

// The device is (now) at `path`; NULL: it was unplugged.
void mux_port_set_device(MuxPort *port, const char *path);

// What it is, and how it is, for people: "unix:/run/x.sock", "connected" or why not.
const char *mux_port_spec(const MuxPort *port);
const char *mux_port_state(const MuxPort *port);

// Reads or writes what goes; 0 when nothing goes now. When the port turns out to be down, 0 too,
// and `down` is called at the end of the turn.
size_t mux_port_read(MuxPort *port, void *base, size_t size);
size_t mux_port_write(MuxPort *port, const void *base, size_t size);
// The same, to a unix socket, with a descriptor, which goes with the first byte that is written and
// stays the caller's.
size_t mux_port_write_fd(MuxPort *port, const void *base, size_t size, int fd);
// Whether bytes can go both ways.
bool mux_port_is_up(const MuxPort *port);
