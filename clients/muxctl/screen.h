// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A terminal that is painted as a whole, with plain ANSI escapes, and given back as it was.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <termios.h>

typedef struct MuxctlScreen {
    bool on;
    bool keys;             // standard input is a terminal as well, and set to give each key
    struct termios before; // how it was
} MuxctlScreen;

// Whether standard output is a terminal that can do this.
bool muxctl_screen_possible(void);
// Takes the terminal, and gives it back; both may be called again.
void muxctl_screen_start(MuxctlScreen *screen);
void muxctl_screen_stop(MuxctlScreen *screen);
void muxctl_screen_size(guint *ret_width, guint *ret_height);
// False when the terminal is gone.
bool muxctl_screen_paint(const GPtrArray *lines);
