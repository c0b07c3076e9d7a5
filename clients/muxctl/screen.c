// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A terminal that is painted as a whole: another screen than the shell's, without a cursor, and
// without line breaks of its own.

#include "screen.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define START "\033[?1049h\033[?25l\033[?7l"
#define STOP  "\033[?7h\033[?25h\033[?1049l"

// What a terminal has that does not say.
#define WIDTH  80
#define HEIGHT 24

static bool put(const char *text, gsize size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text += n;
            size -= (gsize)n;
        }
    }
    return true;
}

bool muxctl_screen_possible(void)
{
    const char *kind = g_getenv("TERM");

    return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

void muxctl_screen_start(MuxctlScreen *screen)
{
    if (screen->on)
        return;
    screen->on = true;
    screen->keys = tcgetattr(STDIN_FILENO, &screen->before) == 0;
    if (screen->keys) {
        struct termios raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    (void)put(START, strlen(START));
}

void muxctl_screen_stop(MuxctlScreen *screen)
{
    if (!screen->on)
        return;
    screen->on = false;
    (void)put(STOP, strlen(STOP));
    if (screen->keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
}

void muxctl_screen_size(guint *ret_width, guint *ret_height)
{
    struct winsize size = {0};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_width = size.ws_col > 0 ? size.ws_col : WIDTH;
    *ret_height = size.ws_row > 0 ? size.ws_row : HEIGHT;
}

bool muxctl_screen_paint(const GPtrArray *lines)
{
    g_autoptr(GString) text = g_string_new("\033[H");

    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(text, "%s%s\033[K", i > 0 ? "\r\n" : "",
                               (const char *)lines->pdata[i]);
    g_string_append(text, "\033[J");
    return put(text->str, text->len);
}
