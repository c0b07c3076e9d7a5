// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Many channels at once, from one process: what crowd.c's commands do. Each ends the program with
// a message when it cannot go on.
#pragma once

#include <stddef.h>
#include <stdint.h>

// --- crowd-open.c

// As many descriptors as this program may have. Ends it when those are less than `wanted`.
void crowd_need_descriptors(size_t wanted);
int crowd_listen(const char *path);
int crowd_connect(const char *path);
void crowd_set_nonblocking(int fd);
// Opens `count` channels to `name` by way of the daemon at `path`, many at a time. The descriptors
// are blocking, and the caller's.
int *crowd_open(size_t count, const char *path, const char *name);

// --- crowd-hold.c

// For ever: takes connections, reads the first `bytes` of each and then nothing more, and closes
// those whose other end has.
void crowd_hold(const char *path, uint64_t bytes);
// Opens channels, prints that they are there, and keeps them until stdin ends.
void crowd_keep(size_t count, const char *path, const char *name);
// The same, and writes to all of them until for a while none has taken anything.
void crowd_fill(size_t count, const char *path, const char *name);

// --- crowd-share.c

// Channels that are all busy: what each got of `each` bytes a channel. `sink` is
// where their handler is.
void crowd_share(size_t count, uint64_t each, const char *path, const char *name, const char *sink);

// --- crowd-cable.c

// For ever: a port between two paths that carries so many bytes a second in the direction from who
// connects to `from`, and in the other as many as come.
void crowd_cable(const char *from, const char *to, uint64_t rate);
