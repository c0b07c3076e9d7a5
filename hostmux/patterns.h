// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// VMs that are found by where their sockets are, for example
// /var/lib/libvirt/qemu/channel/target/*/org.guestmux.0.
#pragma once

#include <glib.h>

typedef struct MuxPatterns MuxPatterns;

// Each pattern is an absolute path with one *, which stands for a part of one name; the part is the
// VM's name. `patterns` is ended by NULL, or NULL. NULL with an error.
MuxPatterns *mux_patterns_new(char **patterns, GError **error);
// NULL is fine; returns NULL.
MuxPatterns *mux_patterns_free(MuxPatterns *patterns);

// Looks for sockets. What is found is added to `vms` (name to "unix:PATH", both owned), unless it
// has that name already; where several are, it stays with the one in `before`, or takes the first.
// What cannot be used is logged, once for as long as it is there.
void mux_patterns_find(MuxPatterns *patterns, GHashTable *before, GHashTable *vms);

// The folders in which something can appear or go, ended by NULL; as they are now.
GStrv mux_patterns_folders(const MuxPatterns *patterns);
