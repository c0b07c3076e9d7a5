// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a peer or an app chose can stand in a message, so what cannot be printed is replaced: a
// line of the log is always one event.

#include "log.h"

#include <glib.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 3900

static int syslog_level(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return 3;
    if (level & G_LOG_LEVEL_WARNING)
        return 4;
    if (level & G_LOG_LEVEL_MESSAGE)
        return 5;
    return level & G_LOG_LEVEL_INFO ? 6 : 7;
}

static const char *field(const GLogField *fields, gsize n, const char *key)
{
    for (gsize i = 0; i < n; i++)
        if (strcmp(fields[i].key, key) == 0)
            return fields[i].value;
    return NULL;
}

// To be freed.
static char *printable(const char *message)
{
    g_autofree char *valid = g_utf8_make_valid(message, -1);
    GString *shown = g_string_new(NULL);

    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        g_string_append_unichar(shown, g_unichar_isprint(character) ? character : '?');
    }
    return g_string_free(shown, FALSE);
}

static GLogWriterOutput write_line(GLogLevelFlags level, const GLogField *fields, gsize n,
                                   gpointer verbose)
{
    // Libraries have a domain, we have none; what they debug is not ours to show.
    if (level & G_LOG_LEVEL_DEBUG && (!verbose || field(fields, n, "GLIB_DOMAIN")))
        return G_LOG_WRITER_HANDLED;

    g_autofree char *line = printable(field(fields, n, "MESSAGE"));
    // A log that nobody reads must not stop the daemon: such lines are lost.
    struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT))
        return G_LOG_WRITER_HANDLED;
    // POLLOUT promises no more than that, and a longer line would wait.
    if (strlen(line) > LINE_MAX_BYTES)
        *g_utf8_find_prev_char(line, line + LINE_MAX_BYTES) = '\0';
    if (g_getenv("JOURNAL_STREAM"))
        (void)fprintf(stderr, "<%d>%s\n", syslog_level(level), line);
    else
        (void)fprintf(stderr, "%s: %s\n", g_get_prgname(), line);
    return G_LOG_WRITER_HANDLED;
}

void mux_log_setup(bool verbose)
{
    g_log_set_writer_func(write_line, GINT_TO_POINTER(verbose), NULL);
}
