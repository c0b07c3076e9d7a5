// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Symlinks to the memory of buffers, for programs that know nothing of us: FOLDER/VM/shm/NAME. Each
// leads to a descriptor of this process; who may look into that, may open it.
#pragma once

#include <glib.h>

typedef struct MuxNodes MuxNodes;

// Takes away what an earlier life left in `folder`, which need not exist; NULL: no nodes are made.
MuxNodes *mux_nodes_new(const char *folder);
// Takes them all away. NULL is fine; returns NULL.
MuxNodes *mux_nodes_free(MuxNodes *nodes);
const char *mux_nodes_folder(const MuxNodes *nodes);

// `fd` stays the caller's, and open until it is removed. What cannot be made is logged.
void mux_nodes_add(MuxNodes *nodes, const char *vm, const char *name, int fd);
// Harmless when there is none, or one of another descriptor.
void mux_nodes_remove(MuxNodes *nodes, const char *vm, const char *name, int fd);
// Its path, or NULL when there is none. To be freed.
char *mux_nodes_path(const MuxNodes *nodes, const char *vm, const char *name);
