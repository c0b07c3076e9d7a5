// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl connect NAME

#include <string.h>

#include "daemon.h"
#include "join.h"

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    double timeout = MUXCTL_FOR_EVER;
    const GOptionEntry own[] = {{"timeout", 0, 0, G_OPTION_ARG_DOUBLE, &timeout,
                                 "How long to wait for the channel", "SECONDS"},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    MuxctlSession session = {0};
    int fd = -1;

    if (!arguments ||
        (timeout != MUXCTL_FOR_EVER && !muxctl_check_seconds("--timeout", timeout, 0.001)))
        return EXIT_USAGE;
    // On a host a name begins with the VM's.
    g_autofree char *link = g_strndup(arguments[0], strcspn(arguments[0], "/"));
    muxctl_session_ask(options, link, &session);
    int status = muxctl_open(options, arguments[0], muxctl_milliseconds(timeout), &fd);
    if (status == EXIT_GOOD)
        status = muxctl_join(options, arguments[0], &session, fd);
    muxctl_session_clear(&session);
    return status;
}

const MuxctlCommand muxctl_connect = {
    .name = "connect",
    .parameters = "NAME",
    .summary = "Open a channel to a service; standard input and output are its ends",
    .help = "NAME is SERVICE[:ARGUMENT] in a guest, VM/SERVICE[:ARGUMENT] on a host.\n"
            "  echo world | muxctl connect hello\n"
            "  muxctl connect web1/uptime </dev/null",
    .least = 1,
    .most = 1,
    .run = run,
};
