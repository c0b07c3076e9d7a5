// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer COMMAND: a table of commands of its own. --socket and --json may stand before each
// of them, too.

#include "buffer.h"

#include <string.h>

#include "table.h"

#define HEAD_WIDTH 26 // "create NAME [-- COMMAND…]"

static const MuxctlCommand *const commands[] = {
    &muxctl_buffer_list, &muxctl_buffer_create,  &muxctl_buffer_show, &muxctl_buffer_cat,
    &muxctl_buffer_fill, &muxctl_buffer_notify,  &muxctl_buffer_wait, &muxctl_buffer_watch,
    &muxctl_buffer_set,  &muxctl_buffer_release,
};

static const char closing[] =
    "NAME is what its creator called it in a guest, and VM/NAME on a host.\n"
    "  muxctl buffer create frames --size 16M --property format=XR24 -- ./paint\n"
    "  muxctl buffer cat web1/frames | ffplay …\n"
    "Each command has its own --help.\n";

static char *describe_commands(void)
{
    GString *text = g_string_new("Commands:\n");

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const char *name = strchr(commands[i]->name, ' ') + 1;
        g_autofree char *head = g_strdup_printf("%s %s", name, commands[i]->parameters);
        g_string_append(text, "  ");
        muxctl_put_cell(text, head, HEAD_WIDTH, FALSE);
        g_string_append_printf(text, "  %s\n", commands[i]->summary);
    }
    g_string_append_printf(text, "\n%s", closing);
    return g_string_free(text, FALSE);
}

static int complain_unknown(const char *word)
{
    GString *known = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", strchr(commands[i]->name, ' ') + 1);
    muxctl_complain("'buffer %s' is not a command; there are %s (see muxctl buffer --help)", word,
                    known->str);
    g_string_free(known, TRUE);
    return EXIT_USAGE;
}

static int run_one(MuxctlOptions *options, char **argv)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(strchr(commands[i]->name, ' ') + 1, argv[0]) == 0)
            return commands[i]->run(commands[i], options, argv);
    return complain_unknown(argv[0]);
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "The daemon's socket", "PATH"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT…]");
    g_autofree char *description = describe_commands();
    g_autoptr(GError) error = NULL;
    int argc = (int)g_strv_length(argv);

    g_set_prgname("muxctl buffer");
    g_option_context_set_summary(context, command->summary);
    g_option_context_set_description(context, description);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_strict_posix(context, TRUE); // what follows the command is its own
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        muxctl_complain("%s (see muxctl buffer --help)", error->message);
        return EXIT_USAGE;
    }
    if (argc < 2) {
        muxctl_complain("buffer: which command? (see muxctl buffer --help)");
        return EXIT_USAGE;
    }
    return run_one(options, argv + 1);
}

const MuxctlCommand muxctl_buffer = {
    .name = "buffer",
    .parameters = "COMMAND [NAME]",
    .summary = "Memory that programs on both sides share",
    .json = true,
    .run = run,
};
