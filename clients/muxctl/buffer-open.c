// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Having a buffer open, which libmuxclient does: here its results become words and exit statuses.

#include <errno.h>

#include "buffer.h"
#include "daemon.h"

int muxctl_buffer_open(const MuxctlOptions *options, const char *name, MuxClientBufferMode mode,
                       MuxClientBuffer **ret_buffer)
{
    MuxClientRefusal refusal = {0};
    int result = mux_client_buffer_open(options->socket, name, mode, -1, &refusal, ret_buffer);

    return muxctl_explain(options, name, result, &refusal);
}

int muxctl_buffer_explain(const char *name, int result, const MuxClientBuffer *buffer)
{
    if (result == 0)
        return EXIT_GOOD;
    if (result == MUX_CLIENT_GONE) {
        g_autofree char *reason = muxctl_buffer_reason(mux_client_buffer_reason(buffer));
        muxctl_complain("%s: the buffer is gone: %s", name, reason);
        return EXIT_GONE;
    }
    if (result == MUX_CLIENT_CLOSED) {
        muxctl_complain("%s: the daemon went away", name);
        return EXIT_NO_DAEMON;
    }
    muxctl_complain("%s: %s", name, mux_client_result_name(result));
    return EXIT_ERROR;
}

int muxctl_buffer_check(const char *name, MuxClientBuffer *buffer)
{
    const MuxClientBufferNews *news;
    int result;

    do
        result = mux_client_buffer_next(buffer, 0, &news);
    while (result == 0 || result == -EPROTO);
    return result == MUX_CLIENT_AGAIN ? EXIT_GOOD : muxctl_buffer_explain(name, result, buffer);
}
