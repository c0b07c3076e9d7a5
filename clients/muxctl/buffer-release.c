// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer release NAME: whoever may, says that it shall be gone.

#include "buffer.h"
#include "daemon.h"

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);
    MuxClientRefusal refusal = {0};

    if (!arguments)
        return EXIT_USAGE;
    int result = mux_client_buffer_release(options->socket, arguments[0], -1, &refusal);
    return muxctl_explain(options, arguments[0], result, &refusal);
}

const MuxctlCommand muxctl_buffer_release = {
    .name = "buffer release",
    .parameters = "NAME",
    .summary = "End a buffer for everybody",
    .help = "For its owner's user, root and the daemon's user, on its owner's side. Root and the\n"
            "daemon's user on a host may end a guest's, too.",
    .least = 1,
    .most = 1,
    .run = run,
};
