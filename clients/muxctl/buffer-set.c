// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer set NAME k=v…: changes properties. The daemon answers with those that there are
// then, so whether it took them is seen in that.

#include <errno.h>
#include <string.h>

#include "buffer.h"
#include "properties.h"

static bool are_so(const MuxClientBufferInfo *info, const MuxClientProperty *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (g_strcmp0(mux_client_buffer_property(info, wanted[i].name), wanted[i].value) != 0)
            return false;
    return true;
}

static int wait_for_answer(const char *name, MuxClientBuffer *buffer)
{
    const MuxClientBufferNews *news;
    int result;

    do
        result = mux_client_buffer_next(buffer, -1, &news);
    while (result == -EPROTO || (result == 0 && news->kind != MUX_CLIENT_BUFFER_PROPERTIES));
    return muxctl_buffer_explain(name, result, buffer);
}

static int set(const char *name, MuxClientBuffer *buffer, const MuxClientProperty *wanted, size_t n)
{
    int result = mux_client_buffer_set(buffer, wanted, n, -1);
    int status = muxctl_buffer_explain(name, result, buffer);

    if (status == EXIT_GOOD)
        status = wait_for_answer(name, buffer);
    if (status != EXIT_GOOD || are_so(mux_client_buffer_info(buffer), wanted, n))
        return status;
    muxctl_complain("%s: the daemon does not take these properties", name);
    return EXIT_ERROR;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);
    g_autofree MuxClientProperty *wanted = NULL;
    MuxClientBuffer *buffer = NULL;
    size_t n = 0;

    if (!arguments || !muxctl_properties_split(command->name, arguments + 1, &wanted, &n))
        return EXIT_USAGE;
    for (size_t i = 0; i < n; i++)
        if (wanted[i].value[0] == '\0')
            wanted[i].value = NULL;
    int status = muxctl_buffer_open(options, arguments[0], MUX_CLIENT_BUFFER_WRITE, &buffer);
    if (status == EXIT_GOOD)
        status = set(arguments[0], buffer, wanted, n);
    mux_client_buffer_free(buffer);
    return status;
}

const MuxctlCommand muxctl_buffer_set = {
    .name = "buffer set",
    .parameters = "NAME PROPERTY=VALUE…",
    .summary = "Set properties; without a VALUE, remove one",
    .help = "  muxctl buffer set frames format=XR24 width=640 stale=",
    .least = 2,
    .most = G_MAXUINT,
    .run = run,
};
