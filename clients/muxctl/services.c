// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl services: what can be opened from here, and what this side offers.

#include <stdio.h>

#include "daemon.h"
#include "show.h"
#include "table.h"
#include "text.h"

static size_t length(json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static void print_remote(json_object *list)
{
    MuxctlTable table;

    if (length(list) == 0) {
        (void)printf("Nothing can be opened from here.\n");
        return;
    }
    (void)printf("Can be opened from here:\n");
    muxctl_table_init(&table, "NAME PROPERTIES DESCRIPTION");
    for (size_t i = 0; i < length(list); i++) {
        json_object *service = json_object_array_get_idx(list, i);
        muxctl_table_add(&table, muxctl_text(service, "name"));
        muxctl_table_take(&table, muxctl_properties(muxctl_get(service, "properties")));
        muxctl_table_add(&table, muxctl_word(service, "description"));
    }
    muxctl_table_print(&table, "  ");
    muxctl_table_deinit(&table);
}

// Where a service's channels go: "exec /bin/cat", "connect unix:/run/clip.sock", "accept fd".
static char *describe_handler(json_object *service)
{
    static const char *const kinds[] = {"exec", "connect", "accept"};

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (muxctl_get(service, kinds[i]))
            return g_strdup_printf("%s %s", kinds[i], muxctl_text(service, kinds[i]));
    return g_strdup("-");
}

static char *describe_origin(json_object *service)
{
    json_object *caller = muxctl_get(service, "registered_by");

    return caller ? muxctl_caller(caller) : g_strdup(muxctl_text(service, "file"));
}

static void print_own(json_object *list)
{
    MuxctlTable table;

    if (length(list) == 0) {
        (void)printf("This side offers nothing; add NAME.json to the daemon's services folder, or "
                     "use muxctl listen.\n");
        return;
    }
    (void)printf("Offered by this side:\n");
    muxctl_table_init(&table, "SERVICE >CHANNELS HANDLER FROM PROPERTIES DESCRIPTION");
    for (size_t i = 0; i < length(list); i++) {
        json_object *service = json_object_array_get_idx(list, i);
        muxctl_table_add(&table, muxctl_text(service, "service"));
        muxctl_table_take(&table, g_strdup_printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT,
                                                  muxctl_number(service, "channels"),
                                                  muxctl_number(service, "max_channels")));
        muxctl_table_take(&table, describe_handler(service));
        muxctl_table_take(&table, describe_origin(service));
        muxctl_table_take(&table, muxctl_properties(muxctl_get(service, "properties")));
        muxctl_table_add(&table, muxctl_word(service, "description"));
    }
    muxctl_table_print(&table, "  ");
    muxctl_table_deinit(&table);
}

static void print_both(json_object *answer)
{
    json_object *remote = muxctl_get(answer, "remote");

    if (remote) { // not from a daemon of before
        print_remote(remote);
        (void)printf("\n");
    }
    print_own(muxctl_get(answer, "services"));
}

static void print_names(json_object *answer)
{
    json_object *list = muxctl_get(answer, "remote");

    for (size_t i = 0; i < length(list); i++)
        (void)puts(muxctl_text(json_object_array_get_idx(list, i), "name"));
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    gboolean names = FALSE;
    const GOptionEntry own[] = {{"names", 0, 0, G_OPTION_ARG_NONE, &names,
                                 "Print only the names that can be opened, one a line", NULL},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);

    if (!arguments)
        return EXIT_USAGE;
    return muxctl_show(options, "services", names ? print_names : print_both);
}

const MuxctlCommand muxctl_services = {
    .name = "services",
    .parameters = "",
    .summary = "What can be opened from here, and what this side offers",
    .json = true,
    .run = run,
};
