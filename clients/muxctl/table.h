// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A table for people: columns as wide as what is in them.
#pragma once

#include <glib.h>

typedef struct MuxctlTable {
    char **heads;     // a '>' before one: its column is set to the right
    guint columns;    //
    GPtrArray *cells; // row by row
} MuxctlTable;

// `heads`: the columns' names, with spaces between them.
void muxctl_table_init(MuxctlTable *table, const char *heads);
void muxctl_table_deinit(MuxctlTable *table);
// The next cell; takes the text, which is printable.
void muxctl_table_take(MuxctlTable *table, char *text);
void muxctl_table_add(MuxctlTable *table, const char *text);
// Appends the lines to the list. `width`: of a terminal, in which the widest columns are cut to
// make it fit; 0 for none.
void muxctl_table_lines(const MuxctlTable *table, const char *indent, guint width,
                        GPtrArray *lines);
// The same on standard output, fit to it if it is a terminal.
void muxctl_table_print(const MuxctlTable *table, const char *indent);

// Appends a text to a line, cut and filled to so many of a terminal's columns.
void muxctl_put_cell(GString *line, const char *text, guint width, gboolean right);
