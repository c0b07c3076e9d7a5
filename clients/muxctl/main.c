// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl, the command line: one table of commands.

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "muxctl.h"

static const struct {
    const char *name;
    int (*run)(const MuxctlOptions *options, char **arguments);
} commands[] = {
    {"connect", muxctl_connect},
    {"services", muxctl_services},
    {"status", muxctl_status},
    {"vms", muxctl_vms},
};

static const char description[] =
    "Commands:\n"
    "  connect NAME    Open a channel to a service (on the host: VM/NAME); standard input\n"
    "                  and output are its two directions\n"
    "  services        The services that this side offers\n"
    "  status          Links, sessions and channels\n"
    "  vms             The VMs that hostmux serves\n"
    "\n"
    "Without --socket, the daemon on /run/guestmux.sock or /run/hostmux.sock is used.\n"
    "Exit status: 0 done, 1 the channel broke, 2 wrong usage, 3 no daemon, 4 an error of the\n"
    "daemon, 10 to 17 the channel was refused. See muxctl(1).\n";

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

static int run(const MuxctlOptions *options, char **arguments)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, arguments[0]) == 0)
            return commands[i].run(options, arguments + 1);
    g_printerr("muxctl: '%s' is not a command (see --help)\n", arguments[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    MuxctlOptions options = {0};
    gboolean version = FALSE;
    g_auto(GStrv) arguments = NULL;
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options.socket, "The daemon's socket", "PATH"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments, NULL, NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT…]");
    g_autoptr(GError) error = NULL;
    int status = EXIT_USAGE;

    fill_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN); // a write says what is wrong
    g_option_context_set_summary(context, "Talks to guestmux or hostmux.");
    g_option_context_set_description(context, description);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("muxctl: %s (see --help)\n", error->message);
    } else if (version) {
        (void)printf("muxctl %s\n", GUESTMUX_VERSION);
        status = EXIT_GOOD;
    } else if (!arguments) {
        g_printerr("muxctl: which command? (see --help)\n");
    } else {
        status = run(&options, arguments);
    }
    g_free(options.socket);
    return status;
}
