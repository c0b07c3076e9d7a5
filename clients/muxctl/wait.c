// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl wait NAME

#include <string.h>

#include "daemon.h"

// With a time of 0 it is looked once, however long the daemon takes to say. `bare`: without
// argument.
static int look(const MuxctlOptions *options, const char *bare, MuxClientRefusal *refusal)
{
    MuxClientServices *services = NULL;
    int result = mux_client_services(options->socket, -1, refusal, &services);

    if (result != 0)
        return result;
    result = MUX_CLIENT_TIMEOUT;
    for (size_t i = 0; i < services->count; i++)
        if (strcmp(services->list[i]->name, bare) == 0)
            result = 0;
    mux_client_services_free(services);
    return result;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    double timeout = MUXCTL_FOR_EVER;
    const GOptionEntry own[] = {{"timeout", 0, 0, G_OPTION_ARG_DOUBLE, &timeout,
                                 "How long; without it, for ever. 0: only look", "SECONDS"},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    MuxClientRefusal refusal = {0};

    if (!arguments ||
        (timeout != MUXCTL_FOR_EVER && !muxctl_check_seconds("--timeout", timeout, 0)))
        return EXIT_USAGE;
    const char *name = arguments[0];
    g_autofree char *bare = g_strndup(name, strcspn(name, ":"));
    const char *slash = strchr(bare, '/');
    if (slash == bare || !muxctl_is_service(slash ? slash + 1 : bare)) { // it can never be there
        muxctl_complain("%s: bad-name: this is no name of a service", name);
        return EXIT_BAD_NAME;
    }
    int result = timeout == 0 ? look(options, bare, &refusal)
                              : mux_client_wait(options->socket, name, muxctl_milliseconds(timeout),
                                                &refusal);
    if (result == MUX_CLIENT_TIMEOUT) {
        muxctl_complain("%s: not there within %g s", name, timeout);
        return EXIT_TIMEOUT;
    }
    if (result == MUX_CLIENT_CLOSED) {
        muxctl_complain("%s: the daemon went away", name);
        return EXIT_NO_DAEMON;
    }
    return muxctl_explain(options, name, result, &refusal);
}

const MuxctlCommand muxctl_wait = {
    .name = "wait",
    .parameters = "NAME",
    .summary = "Wait until a service can be opened",
    .help = "NAME is SERVICE[:ARGUMENT] in a guest, VM/SERVICE[:ARGUMENT] on a host. Which\n"
            "ARGUMENT does not matter.\n"
            "  muxctl wait --timeout 30 clipboard && xclip -o | muxctl connect clipboard\n"
            "Exit status: 0 it can be opened, 15 the time is over, 3 the daemon is not there.",
    .least = 1,
    .most = 1,
    .run = run,
};
