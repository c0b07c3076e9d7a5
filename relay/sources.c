// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// While turns of the data path follow each other, GLib is not asked whether it has something new to
// wait for (loop-run.c). Waking it up is how it is.

#include "sources.h"

static guint added(guint source)
{
    g_main_context_wakeup(NULL);
    return source;
}

guint mux_source_timeout(guint ms, GSourceFunc fn, gpointer user)
{
    return added(g_timeout_add(ms, fn, user));
}

guint mux_source_idle(GSourceFunc fn, gpointer user)
{
    return added(g_idle_add_full(G_PRIORITY_DEFAULT, fn, user, NULL));
}

guint mux_source_child(GPid pid, GChildWatchFunc fn, gpointer user)
{
    return added(g_child_watch_add(pid, fn, user));
}

guint mux_source_readable(int fd, GUnixFDSourceFunc fn, gpointer user)
{
    return added(g_unix_fd_add(fd, G_IO_IN, fn, user));
}

void mux_source_attach(GSource *source)
{
    (void)added(g_source_attach(source, NULL));
}
