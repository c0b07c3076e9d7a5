// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl, the command line: one table of commands. --socket and --json may stand before the
// command or behind it.

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "muxctl.h"
#include "table.h"

#define HEAD_WIDTH 28 // "listen SERVICE [-- COMMAND…]"

static const MuxctlCommand *const commands[] = {
    &muxctl_connect, &muxctl_listen, &muxctl_services, &muxctl_wait, &muxctl_buffer,
    &muxctl_status,  &muxctl_top,    &muxctl_events,   &muxctl_vms,
};

static const char closing[] =
    "Each command has its own --help.\n"
    "Without --socket and $GUESTMUX_SOCKET, the daemon on /run/guestmux.sock or /run/hostmux.sock\n"
    "is used.\n"
    "Exit status: 0 done, 1 the channel broke, 2 wrong usage, 3 no daemon, 4 an error of the\n"
    "daemon, 10 to 17 it was refused, 18 the name is taken, 19 the buffer went, 20 there is no\n"
    "memory to share. See muxctl(1).\n";

// Without them the channel's socket would get the number of standard input or output. Opened for
// reading: the input is empty, and writing fails as it should.
static void fill_standard_descriptors(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO) {
    }
    if (fd >= 0)
        (void)close(fd);
}

static char *describe_commands(void)
{
    GString *text = g_string_new("Commands:\n");

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *head =
            g_strdup_printf("%s %s", commands[i]->name, commands[i]->parameters);
        g_string_append(text, "  ");
        muxctl_put_cell(text, head, HEAD_WIDTH, FALSE);
        g_string_append_printf(text, "  %s\n", commands[i]->summary);
    }
    g_string_append_printf(text, "\n%s", closing);
    return g_string_free(text, FALSE);
}

static int run(MuxctlOptions *options, char **argv)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i]->name, argv[0]) == 0)
            return commands[i]->run(commands[i], options, argv);
    muxctl_complain("'%s' is not a command (see --help)", argv[0]);
    return EXIT_USAGE;
}

static int start(MuxctlOptions *options, int argc, char **argv)
{
    gboolean version = FALSE;
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "The daemon's socket", "PATH"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT…]");
    g_autofree char *description = describe_commands();
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(context, "Talks to guestmux or hostmux.");
    g_option_context_set_description(context, description);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_strict_posix(context, TRUE); // what follows the command is its own
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        muxctl_complain("%s (see --help)", error->message);
        return EXIT_USAGE;
    }
    if (version) {
        (void)printf("muxctl %s\n", GUESTMUX_VERSION);
        return muxctl_flush();
    }
    if (argc < 2) {
        muxctl_complain("which command? (see --help)");
        return EXIT_USAGE;
    }
    return run(options, argv + 1);
}

int main(int argc, char **argv)
{
    MuxctlOptions options = {0};

    fill_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN); // a write says what is wrong
    g_set_prgname("muxctl");
    int status = start(&options, argc, argv);
    g_free(options.socket);
    return status;
}
