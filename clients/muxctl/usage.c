// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the commands share of their beginning and end: options, complaints, output that was lost.

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "muxctl.h"
#include "text.h"

#define SECONDS_MAX    1e9
#define NAME_MAX_BYTES 128 // of a service

void muxctl_complain(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_autofree char *shown = muxctl_printable(text);
    (void)fprintf(stderr, "muxctl: %s\n", shown);
}

int muxctl_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_GOOD;
    if (errno != EPIPE) // which is how "muxctl … | head" ends
        muxctl_complain("standard output: %s", g_strerror(errno));
    return EXIT_BROKEN;
}

bool muxctl_check_seconds(const char *option, double seconds, double least)
{
    if (isfinite(seconds) && seconds >= least && seconds <= SECONDS_MAX)
        return true;
    muxctl_complain("%s takes a number of seconds, %g at least", option, least);
    return false;
}

bool muxctl_is_service(const char *name)
{
    size_t length = strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");

    return length > 0 && length <= NAME_MAX_BYTES && name[length] == '\0' && !strchr("-.", name[0]);
}

static bool are_right(const MuxctlCommand *command, const MuxctlOptions *options, char **arguments)
{
    guint n = g_strv_length(arguments);

    if (options->json && !command->json)
        muxctl_complain("%s has no --json (see muxctl %s --help)", command->name, command->name);
    else if (n > command->most && command->most == 0)
        muxctl_complain("%s takes no arguments, but got '%s'", command->name, arguments[0]);
    else if (n < command->least || n > command->most)
        muxctl_complain("%s takes %s (see muxctl %s --help)", command->name, command->parameters,
                        command->name);
    else
        return true;
    return false;
}

char **muxctl_parse(const MuxctlCommand *command, MuxctlOptions *options, const GOptionEntry *own,
                    char **argv)
{
    g_auto(GStrv) arguments = NULL;
    const GOptionEntry common[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "The daemon's socket", "PATH"},
        {"json", 0, command->json ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options->json,
         "Print JSON", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_autofree char *name = g_strdup_printf("muxctl %s", command->name);
    g_autoptr(GOptionContext) context = g_option_context_new(command->parameters);
    g_autoptr(GError) error = NULL;
    int argc = (int)g_strv_length(argv);

    g_set_prgname(name); // in the help's first line
    g_option_context_set_summary(context, command->summary);
    g_option_context_set_description(context, command->help);
    if (own)
        g_option_context_add_main_entries(context, own, NULL);
    g_option_context_add_main_entries(context, common, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        muxctl_complain("%s (see muxctl %s --help)", error->message, command->name);
        return NULL;
    }
    if (!arguments)
        arguments = g_new0(char *, 1);
    return are_right(command, options, arguments) ? g_steal_pointer(&arguments) : NULL;
}
