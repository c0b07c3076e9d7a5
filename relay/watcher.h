// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Says when something changed in a set of folders, which need not exist yet.
#pragma once

#include "loop.h"

typedef struct MuxWatcher MuxWatcher;

// `fn` is called once, 50 to 100 ms after the last of several changes, and each second while they
// do not end. It may call mux_watcher_set(). Never NULL: where the kernel has no watches left, a
// warning says so, and nothing is told.
MuxWatcher *mux_watcher_new(MuxLoop *loop, void (*fn)(void *user), void *user);
// NULL is fine; returns NULL.
MuxWatcher *mux_watcher_free(MuxWatcher *watcher);

// Watches these folders (ended by NULL; NULL for none), and no others. What changed before is not
// told any more: read the folders after this, not before.
void mux_watcher_set(MuxWatcher *watcher, const char *const *folders);
