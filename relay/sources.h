// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// GLib's sources: GLib's functions of similar names, which the running loop is told of. All end by
// g_source_remove(), or by themselves.
#pragma once

#include <glib-unix.h>
#include <glib.h>

guint mux_source_timeout(guint ms, GSourceFunc fn, gpointer user);
guint mux_source_idle(GSourceFunc fn, gpointer user);
guint mux_source_child(GPid pid, GChildWatchFunc fn, gpointer user);
guint mux_source_readable(int fd, GUnixFDSourceFunc fn, gpointer user);
// One that was made by g_source_new().
void mux_source_attach(GSource *source);
