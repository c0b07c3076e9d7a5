// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer notify NAME: says to all others that the memory was written.

#include "buffer.h"

static int notify(const char *name, MuxClientBuffer *buffer, MuxctlRange *range)
{
    if (!muxctl_range_fit(name, range, mux_client_buffer_size(buffer)))
        return EXIT_USAGE;
    int result = mux_client_buffer_notify(buffer, range->offset, range->length, -1);
    return muxctl_buffer_explain(name, result, buffer);
}

static int open_and_notify(const MuxctlOptions *options, const char *name, MuxctlRange *range)
{
    MuxClientBuffer *buffer = NULL;
    int status = muxctl_buffer_open(options, name, MUX_CLIENT_BUFFER_WRITE, &buffer);

    if (status == EXIT_GOOD)
        status = notify(name, buffer, range);
    mux_client_buffer_free(buffer);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    MuxctlRangeOptions given = {0};
    MuxctlRange range;
    const GOptionEntry own[] = {MUXCTL_OFFSET_ENTRY(&given),
                                MUXCTL_LENGTH_ENTRY(&given),
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);

    int status = arguments && muxctl_range_parse(&given, &range)
                     ? open_and_notify(options, arguments[0], &range)
                     : EXIT_USAGE;
    muxctl_range_clear(&given);
    return status;
}

const MuxctlCommand muxctl_buffer_notify = {
    .name = "buffer notify",
    .parameters = "NAME",
    .summary = "Say to all others that the memory was written",
    .least = 1,
    .most = 1,
    .run = run,
};
