// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A control connection's lines, and the descriptors that come with them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "dial.h"

typedef struct MuxClientLines {
    int fd;        // the connection; owned
    char *bytes;   // of the line that is being read, or was read last
    size_t length; //
    size_t room;   // that bytes has
    size_t max;    // a line's longest
    bool whole;    // bytes is a whole line
    int passed;    // the first descriptor that came with the line, or -1; owned until taken
    bool cut;      // a descriptor that came with it was lost: there was no number for it
} MuxClientLines;

// Takes over the descriptor.
void mux_client_lines_init(MuxClientLines *lines, int fd, size_t max);
// Closes the connection; fine on an object whose fd is -1.
void mux_client_lines_deinit(MuxClientLines *lines);

// The next line, with NUL instead of its end; it is lent until the next call. The descriptor that
// came with it is in `passed`; others are closed. 0, MUX_CLIENT_TIMEOUT, MUX_CLIENT_CLOSED, or a
// negative errno; -EMSGSIZE for a line that is too long, after which no other can be read.
int mux_client_lines_next(MuxClientLines *lines, MuxClientDeadline deadline, const char **ret_line,
                          size_t *ret_length);

// The descriptor that came with the line is the caller's from now on; -1 when there is none.
int mux_client_lines_take(MuxClientLines *lines);
