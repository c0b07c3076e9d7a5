// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Programs' connections to buffers, `@buffer`: a line that says which, an answer with the memory's
// descriptor, then records both ways for as long as the connection lives. docs/buffers-protocol.md
// has the bytes.
#pragma once

#include <stdint.h>

#include "buffers.h"
#include "relay/greeting.h"
#include "relay/peer.h"

typedef struct MuxHandle MuxHandle;

MuxHandles *mux_handles_new(MuxRelay *relay);
// Closes them all; buffers are not released for it. Before the links are freed. NULL is fine;
// returns NULL.
MuxHandles *mux_handles_free(MuxHandles *handles);
// Makes a handle of the socket, which is the handles' from now on, as is what `peer` owns.
void mux_handle_add(MuxHandles *handles, int fd, MuxAnswers answers, MuxPeer *peer);

// --- what its buffer says; none of these frees the handle

// The handle in its buffer's list.
MuxHandle *mux_handle_of(MuxList *node);
MuxList *mux_handle_node(MuxHandle *handle);

// The buffer is READY: the program gets its answer and the descriptor.
void mux_handle_grant(MuxHandle *handle);
// The program is told why not, and leaves the buffer.
void mux_handle_refuse(MuxHandle *handle, const char *code, const char *text);
// These are told when there is room, the newest only; a notice of all ranges since the last.
void mux_handle_notice(MuxHandle *handle, uint64_t offset, uint64_t length);
void mux_handle_properties(MuxHandle *handle);
// Nothing else is told any more; after some seconds the handle is closed. `reason` is a constant
// string.
void mux_handle_gone(MuxHandle *handle, const char *reason);
// The buffer is freed.
void mux_handle_orphan(MuxHandle *handle);

// --- for handle.c: a buffer's list

// It has a handle more; `maker`: its creator's.
void mux_buffer_join(MuxBuffer *buffer, MuxHandle *handle, bool maker);
// One less. If it was the creator's, the buffer ends at the end of the turn.
void mux_buffer_leave(MuxBuffer *buffer, MuxHandle *handle);
