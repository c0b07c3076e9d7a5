// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Shared by handles.c (all of them), handle.c (one's socket, and what is told on it),
// handle-request.c (how it begins) and handle-records.c (what its program says).
#pragma once

#include "handle.h"

#define MUX_HANDLE_HEADER 8 // of a record: u32 type, u32 length

typedef enum MuxHandleState {
    MUX_HANDLE_ASKING,  // the line that says which buffer has not come
    MUX_HANDLE_WAITING, // the buffer is being made
    MUX_HANDLE_OPEN,
    MUX_HANDLE_GONE,   // the program was told that the buffer is gone, and has not closed
    MUX_HANDLE_ENDING, // it was refused; closed as soon as that is written
} MuxHandleState;

struct MuxHandle {
    MuxWatch watch;
    MuxList node;   // in all
    MuxList member; // in its buffer's handles
    MuxHandles *handles;
    MuxBuffer *buffer; // NULL when it has none, yet or any more
    MuxPeer peer;
    MuxHandleState state;
    uint64_t since_us; // in this state
    bool writes;       // it was opened for writing
    bool eof;          // the program says nothing more
    GByteArray *in;    // the line, or a record, that has not ended yet
    GByteArray *out;   // what has not been written
    int pass;          // the descriptor that goes with byte `pass_at` of it, or -1
    guint pass_at;
    // What is said when there is room.
    bool noticed, properties;
    uint64_t from, to;  // range of the notice
    const char *reason; // of the buffer's end
};

// handles.c: ends it. If it was its buffer's creator, the buffer ends at the end of the turn.
void mux_handle_free(MuxHandle *handle);
// handles.c: it is in that state from now on.
void mux_handle_enter(MuxHandle *handle, MuxHandleState state);
MuxRelay *mux_handle_relay(const MuxHandle *handle);

// handle-request.c: does what the line says. The handle stays.
void mux_handle_request(MuxHandle *handle, const char *untrusted_text, size_t length);

// handle-records.c: takes the whole records that there are in what came before and in these bytes.
// False: they make no sense.
bool mux_handle_take(MuxHandle *handle, const uint8_t *bytes, size_t size);

// handle.c: what its socket is to be called for, and what is called.
void mux_handle_on_socket(MuxWatch *watch);
void mux_handle_want(MuxHandle *handle);
// handle.c: writes what there is, as far as it goes.
void mux_handle_flush(MuxHandle *handle);
