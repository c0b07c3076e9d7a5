// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A table for people. Widths are in columns of a terminal, of which a character may take two, or
// none.

#include "table.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP       2 // between columns
#define WIDTH_MIN 8 // a column is not cut below this

static guint character_width(gunichar character)
{
    if (g_unichar_iszerowidth(character))
        return 0;
    return g_unichar_iswide(character) ? 2 : 1;
}

static guint text_width(const char *text)
{
    guint width = 0;

    for (const char *c = text; *c; c = g_utf8_next_char(c))
        width += character_width(g_utf8_get_char(c));
    return width;
}

// What of the text fits; the last column that it may take says that something was cut.
static void append_cut(GString *line, const char *text, guint width)
{
    guint used = 0;

    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        used += character_width(g_utf8_get_char(c));
        if (used >= width) {
            g_string_append(line, "…");
            return;
        }
        g_string_append_len(line, c, g_utf8_next_char(c) - c);
    }
}

void muxctl_put_cell(GString *line, const char *text, guint width, gboolean right)
{
    guint own = text_width(text), fill = own < width ? width - own : 0;

    g_string_append_printf(line, "%*s", right ? (int)fill : 0, "");
    if (own <= width)
        g_string_append(line, text);
    else
        append_cut(line, text, width);
    g_string_append_printf(line, "%*s", right ? 0 : (int)fill, "");
}

void muxctl_table_init(MuxctlTable *table, const char *heads)
{
    table->heads = g_strsplit(heads, " ", -1);
    table->columns = g_strv_length(table->heads);
    table->cells = g_ptr_array_new_with_free_func(g_free);
}

void muxctl_table_deinit(MuxctlTable *table)
{
    g_clear_pointer(&table->heads, g_strfreev);
    g_clear_pointer(&table->cells, g_ptr_array_unref);
}

void muxctl_table_take(MuxctlTable *table, char *text)
{
    g_ptr_array_add(table->cells, text);
}

void muxctl_table_add(MuxctlTable *table, const char *text)
{
    muxctl_table_take(table, g_strdup(text));
}

static gboolean is_right(const MuxctlTable *table, guint column)
{
    return table->heads[column][0] == '>';
}

static const char *head(const MuxctlTable *table, guint column)
{
    return table->heads[column] + is_right(table, column);
}

// Takes from the widest column that is text until all fit, or none can give more.
static void fit(const MuxctlTable *table, guint *widths, guint room)
{
    for (;;) {
        guint sum = GAP * (table->columns - 1), widest = table->columns;

        for (guint i = 0; i < table->columns; i++) {
            sum += widths[i];
            if (!is_right(table, i) && widths[i] > WIDTH_MIN &&
                (widest == table->columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (sum <= room || widest == table->columns)
            return;
        widths[widest]--;
    }
}

static guint *measure(const MuxctlTable *table, guint room)
{
    guint *widths = g_new0(guint, table->columns);

    for (guint i = 0; i < table->columns; i++)
        widths[i] = text_width(head(table, i));
    for (guint i = 0; i < table->cells->len; i++) {
        guint width = text_width(table->cells->pdata[i]), column = i % table->columns;
        widths[column] = MAX(widths[column], width);
    }
    if (room > 0)
        fit(table, widths, room);
    return widths;
}

// Row 0 is the heads.
static char *make_line(const MuxctlTable *table, guint row, const guint *widths, const char *indent,
                       guint room)
{
    g_autoptr(GString) line = g_string_new(NULL);

    for (guint i = 0; i < table->columns; i++) {
        const char *text =
            row == 0 ? head(table, i) : table->cells->pdata[(row - 1) * table->columns + i];
        g_string_append_printf(line, "%*s", i > 0 ? GAP : 0, "");
        muxctl_put_cell(line, text, widths[i], is_right(table, i));
    }
    g_autofree char *trimmed = g_strchomp(g_strdup(line->str));
    if (room == 0 || text_width(trimmed) <= room)
        return g_strconcat(indent, trimmed, NULL);
    GString *cut = g_string_new(indent);
    append_cut(cut, trimmed, room);
    return g_string_free(cut, FALSE);
}

void muxctl_table_lines(const MuxctlTable *table, const char *indent, guint width, GPtrArray *lines)
{
    guint used = (guint)strlen(indent), room = width > used ? width - used : width;
    g_autofree guint *widths = measure(table, room);
    guint rows = table->cells->len / table->columns;

    for (guint row = 0; row <= rows; row++)
        g_ptr_array_add(lines, make_line(table, row, widths, indent, room));
}

void muxctl_table_print(const MuxctlTable *table, const char *indent)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    struct winsize size = {0};
    guint width =
        isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;

    muxctl_table_lines(table, indent, width, lines);
    for (guint i = 0; i < lines->len; i++)
        (void)puts(lines->pdata[i]);
}
