// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What muxctl top shows: a line about all, the links, the channels, a line about the keys.

#include "view.h"

#include <stdbool.h>
#include <string.h>

#include "table.h"
#include "text.h"

#define FIXED_LINES 7 // all but rows: the first and the last, empty ones, heads, what is left out
#define LINKS_MIN   3 // so many links are shown, however small the window

static const struct {
    const char *name;
    const char *keys[2]; // whose sum counts
} orders[] = {
    {"rate", {"in_rate", "out_rate"}}, {"in", {"in_rate", NULL}},    {"out", {"out_rate", NULL}},
    {"unread", {"unread", NULL}},      {"stalls", {"stalls", NULL}}, {"age", {"age", NULL}},
};

guint muxctl_view_orders(void)
{
    return G_N_ELEMENTS(orders);
}

static double weight(guint order, json_object *row)
{
    double sum = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(orders[0].keys) && orders[order].keys[i]; i++)
        sum += json_object_get_double(muxctl_get(row, orders[order].keys[i]));
    return sum;
}

// The heaviest first; those that weigh the same stay as they are.
static gint compare(gconstpointer a, gconstpointer b, gpointer user)
{
    guint order = GPOINTER_TO_UINT(user);
    double left = weight(order, *(json_object *const *)a);
    double right = weight(order, *(json_object *const *)b);

    return (left < right) - (left > right);
}

static void append_all(GPtrArray *rows, json_object *list)
{
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        g_ptr_array_add(rows, json_object_array_get_idx(list, i));
}

static char *rate(json_object *row, const char *key)
{
    return muxctl_human(muxctl_number(row, key));
}

static char *describe_peer(json_object *peer)
{
    return peer
               ? g_strdup_printf("%s %s", muxctl_text(peer, "daemon"), muxctl_text(peer, "version"))
               : g_strdup("-");
}

// Of what went one way in the interval, how much went through shared memory; or why nothing does.
static char *describe_region(json_object *link, const char *side)
{
    json_object *region = muxctl_get(muxctl_get(link, "memory"), side);
    const char *state = muxctl_text(region, "state");
    double shared = (double)muxctl_number(region, "shared_rate");
    double all = shared + (double)muxctl_number(region, "inline_rate");

    if (strcmp(state, "on") != 0 || all <= 0)
        return g_strdup(state);
    return g_strdup_printf("%.0f%%", 100 * shared / all);
}

static void add_link(MuxctlTable *table, json_object *link)
{
    json_object *session = muxctl_get(link, "session");
    bool silent = json_object_get_boolean(muxctl_get(session, "silent"));

    muxctl_table_add(table, muxctl_text(link, "name"));
    muxctl_table_add(table, silent ? "silent" : muxctl_text(link, "state"));
    muxctl_table_take(table, describe_peer(muxctl_get(link, "peer")));
    muxctl_table_add(table, muxctl_text(link, "channels_open"));
    muxctl_table_take(table, rate(link, "in_rate"));
    muxctl_table_take(table, rate(link, "out_rate"));
    muxctl_table_take(table, muxctl_human(muxctl_number(session, "budget_used")));
    muxctl_table_take(table, describe_region(link, "in"));
    muxctl_table_take(table, describe_region(link, "out"));
}

static void add_channel(MuxctlTable *table, json_object *channel)
{
    muxctl_table_add(table, muxctl_text(channel, "link"));
    muxctl_table_add(table, muxctl_text(channel, "id"));
    muxctl_table_add(table, muxctl_text(channel, "direction"));
    muxctl_table_add(table, muxctl_text(channel, "service"));
    muxctl_table_take(table, muxctl_caller(muxctl_get(channel, "caller")));
    muxctl_table_take(table, rate(channel, "in_rate"));
    muxctl_table_take(table, rate(channel, "out_rate"));
    muxctl_table_take(table, rate(channel, "unread"));
    muxctl_table_take(table, rate(channel, "credit"));
    muxctl_table_add(table, muxctl_text(channel, "stalls"));
    muxctl_table_take(table,
                      g_strdup_printf("%.0fs", json_object_get_double(muxctl_get(channel, "age"))));
}

// A table of as many rows as there is room for, and how many more there are.
static void add_table(const MuxctlView *view, const char *heads, GPtrArray *rows, guint room,
                      void (*add)(MuxctlTable *table, json_object *row), GPtrArray *lines)
{
    MuxctlTable table;
    guint shown = MIN(rows->len, room);

    muxctl_table_init(&table, heads);
    for (guint i = 0; i < shown; i++)
        add(&table, rows->pdata[i]);
    muxctl_table_lines(&table, "", view->width, lines);
    if (shown < rows->len)
        g_ptr_array_add(lines, g_strdup_printf("… and %u more", rows->len - shown));
    muxctl_table_deinit(&table);
}

static void add_text(const MuxctlView *view, const char *text, GPtrArray *lines)
{
    GString *line = g_string_new(NULL);

    muxctl_put_cell(line, text, view->width > 0 ? view->width : G_MAXINT16, FALSE);
    g_ptr_array_add(lines, g_strchomp(g_string_free(line, FALSE)));
}

static void add_first(const MuxctlView *view, json_object *answer, GPtrArray *links, guint channels,
                      GPtrArray *lines)
{
    guint up = 0;

    for (guint i = 0; i < links->len; i++)
        up += strcmp(muxctl_text(links->pdata[i], "state"), "up") == 0;
    g_autofree char *text =
        g_strdup_printf("%s %s: %u of %u links up, %u channels, over %.1f s%s%s",
                        muxctl_text(answer, "daemon"), muxctl_text(answer, "version"), up,
                        links->len, channels, json_object_get_double(muxctl_get(answer, "seconds")),
                        view->note ? " - " : "", view->note ? view->note : "");
    add_text(view, text, lines);
    g_ptr_array_add(lines, g_strdup(""));
}

static void add_last(const MuxctlView *view, GPtrArray *lines)
{
    g_autofree char *text =
        g_strdup_printf("by %s; left, right, s: another order; q: quit", orders[view->order].name);

    while (lines->len + 1 < view->height)
        g_ptr_array_add(lines, g_strdup(""));
    g_ptr_array_set_size(lines, (gint)view->height - 1); // those of a window that is too small
    add_text(view, text, lines);
}

GPtrArray *muxctl_view_lines(const MuxctlView *view, json_object *answer)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) links = g_ptr_array_new(), channels = g_ptr_array_new();
    guint room = view->height > FIXED_LINES ? view->height - FIXED_LINES : 0;
    guint link_room = G_MAXUINT, channel_room = G_MAXUINT;

    append_all(links, muxctl_get(answer, "links"));
    for (guint i = 0; i < links->len; i++)
        append_all(channels, muxctl_get(links->pdata[i], "channels"));
    g_ptr_array_sort_with_data(links, compare, GUINT_TO_POINTER(0));
    g_ptr_array_sort_with_data(channels, compare, GUINT_TO_POINTER(view->order));
    if (view->height > 0) {
        link_room = MAX(room / 3, LINKS_MIN);
        guint used = MIN(links->len, link_room);
        channel_room = room > used ? room - used : 0;
    }
    add_first(view, answer, links, channels->len, lines);
    add_table(view, "LINK STATE PEER >CHANNELS >IN/s >OUT/s >HELD >MEM-IN >MEM-OUT", links,
              link_room, add_link, lines);
    g_ptr_array_add(lines, g_strdup(""));
    add_table(view, "LINK >ID DIR SERVICE CALLER >IN/s >OUT/s >UNREAD >CREDIT >STALLS >AGE",
              channels, channel_room, add_channel, lines);
    if (view->height > 0)
        add_last(view, lines);
    return lines;
}
