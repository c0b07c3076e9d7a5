// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer list and muxctl buffer show: what the daemon answers to "buffers".

#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "daemon.h"
#include "table.h"
#include "text.h"

static size_t length(json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

// Leaves only those of an application.
static void filter(json_object *answer, const char *application)
{
    json_object *all = muxctl_get(answer, "buffers"), *some = json_object_new_array();

    for (size_t i = 0; i < length(all); i++) {
        json_object *buffer = json_object_array_get_idx(all, i);
        if (strcmp(muxctl_buffer_property(buffer, "application"), application) == 0)
            json_object_array_add(some, json_object_get(buffer));
    }
    json_object_object_add(answer, "buffers", some);
}

// Of those that can be opened.
static void print_names(json_object *answer, json_object *list)
{
    for (size_t i = 0; i < length(list); i++) {
        json_object *buffer = json_object_array_get_idx(list, i);
        g_autofree char *name = muxctl_buffer_name(answer, buffer);
        if (strcmp(muxctl_word(buffer, "state"), "ready") == 0)
            (void)puts(name);
    }
}

static void print_table(json_object *answer, json_object *list)
{
    MuxctlTable table;

    if (length(list) == 0) {
        (void)printf("There are no buffers.\n");
        return;
    }
    muxctl_table_init(&table, "NAME >SIZE STATE OWNER WRITERS >HANDLES >NOTICES PROPERTIES");
    for (size_t i = 0; i < length(list); i++) {
        json_object *buffer = json_object_array_get_idx(list, i);
        muxctl_table_take(&table, muxctl_buffer_name(answer, buffer));
        muxctl_table_take(&table, muxctl_buffer_size(buffer));
        muxctl_table_add(&table, muxctl_text(buffer, "state"));
        muxctl_table_take(&table, muxctl_buffer_owner(buffer));
        muxctl_table_add(&table, muxctl_buffer_writers(buffer));
        muxctl_table_add(&table, muxctl_text(buffer, "handles"));
        muxctl_table_add(&table, muxctl_text(buffer, "notices"));
        muxctl_table_take(&table, muxctl_properties(muxctl_get(buffer, "properties")));
    }
    muxctl_table_print(&table, "");
    muxctl_table_deinit(&table);
}

static int run_list(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    gboolean names = FALSE;
    g_autofree char *application = NULL;
    const GOptionEntry own[] = {{"application", 0, 0, G_OPTION_ARG_STRING, &application,
                                 "Only those whose property \"application\" is that", "NAME"},
                                {"names", 0, 0, G_OPTION_ARG_NONE, &names,
                                 "Print only the names of those that are ready", NULL},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    json_object *answer = NULL;

    int status = arguments ? muxctl_ask(options, "buffers", &answer) : EXIT_USAGE;
    if (status != EXIT_GOOD)
        return status;
    if (application)
        filter(answer, application);
    if (options->json)
        muxctl_print_json(answer);
    else
        (names ? print_names : print_table)(answer, muxctl_get(answer, "buffers"));
    json_object_put(answer);
    return muxctl_flush();
}

static json_object *find(json_object *answer, const char *wanted)
{
    json_object *list = muxctl_get(answer, "buffers");

    for (size_t i = 0; i < length(list); i++) {
        json_object *buffer = json_object_array_get_idx(list, i);
        g_autofree char *name = muxctl_buffer_name(answer, buffer);
        if (strcmp(name, wanted) == 0)
            return buffer;
    }
    return NULL;
}

// A name that can be none of this side's.
static bool check_side(json_object *answer, const char *name)
{
    bool host = strcmp(muxctl_word(answer, "daemon"), "hostmux") == 0;

    if (host == !!strchr(name, '/'))
        return true;
    muxctl_complain("%s: bad-name: %s", name,
                    host ? "on the host a buffer's name is VM/NAME (see muxctl vms)"
                         : "in a guest a buffer's name has no VM/ before it");
    return false;
}

int muxctl_buffer_find(const MuxctlOptions *options, const char *name, json_object **ret_answer,
                       json_object **ret_buffer)
{
    json_object *answer = NULL;
    int status = muxctl_ask(options, "buffers", &answer);

    if (status == EXIT_GOOD && !check_side(answer, name))
        status = EXIT_BAD_NAME;
    if (status == EXIT_GOOD) {
        *ret_answer = answer;
        *ret_buffer = find(answer, name);
    } else {
        json_object_put(answer);
    }
    return status;
}

static const char *plural(json_object *buffer, const char *key)
{
    return muxctl_number(buffer, key) == 1 ? "" : "s";
}

static void print_one(json_object *answer, json_object *buffer)
{
    g_autofree char *name = muxctl_buffer_name(answer, buffer);
    g_autofree char *owner = muxctl_buffer_owner(buffer);
    const char *readers = muxctl_word(buffer, "read_only_for");
    json_object *properties = muxctl_get(buffer, "properties");

    (void)printf("%s: %s, %s bytes\n", name, muxctl_text(buffer, "state"),
                 muxctl_text(buffer, "size"));
    (void)printf("  owner: %s\n", owner);
    (void)printf("  %s%s\n", *readers ? "read only for: " : "both sides may write", readers);
    (void)printf("  %s handle%s here, %s notice%s, id %s\n", muxctl_text(buffer, "handles"),
                 plural(buffer, "handles"), muxctl_text(buffer, "notices"),
                 plural(buffer, "notices"), muxctl_text(buffer, "id"));
    if (muxctl_get(buffer, "node"))
        (void)printf("  node: %s\n", muxctl_text(buffer, "node"));
    if (!json_object_is_type(properties, json_type_object))
        return;
    json_object_object_foreach(properties, key, value)
    {
        (void)value;
        g_autofree char *shown = muxctl_printable(key);
        (void)printf("  %s=%s\n", shown, muxctl_word(properties, key));
    }
}

static int run_show(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);
    json_object *answer = NULL, *buffer = NULL;

    int status =
        arguments ? muxctl_buffer_find(options, arguments[0], &answer, &buffer) : EXIT_USAGE;
    if (status != EXIT_GOOD)
        return status;
    if (!buffer) {
        muxctl_complain("%s: no-buffer: there is no such buffer", arguments[0]);
        status = muxctl_code_status("no-buffer");
    } else if (options->json) {
        muxctl_print_json(buffer);
    } else {
        print_one(answer, buffer);
    }
    json_object_put(answer);
    return status == EXIT_GOOD ? muxctl_flush() : status;
}

const MuxctlCommand muxctl_buffer_list = {
    .name = "buffer list",
    .parameters = "",
    .summary = "The buffers that there are",
    .help = "  muxctl buffer list --application clip",
    .json = true,
    .run = run_list,
};

const MuxctlCommand muxctl_buffer_show = {
    .name = "buffer show",
    .parameters = "NAME",
    .summary = "One buffer, with its properties",
    .least = 1,
    .most = 1,
    .json = true,
    .run = run_show,
};
