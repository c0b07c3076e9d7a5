// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What libmuxclient found, as words and exit statuses.

#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int explain_error(const MuxctlOptions *options, const char *what, int error)
{
    bool absent = error == ENOENT || error == ECONNREFUSED;
    const char *path = options->socket ? options->socket : g_getenv("GUESTMUX_SOCKET");

    if (error == EPROTO) {
        muxctl_complain("%s: the daemon's answer makes no sense", what);
        return EXIT_ERROR;
    }
    if (error == ENOMEM || error == EMFILE || error == ENFILE) {
        muxctl_complain("%s: %s", what, g_strerror(error));
        return EXIT_ERROR;
    }
    if (path)
        muxctl_complain("%s: %s%s", path, g_strerror(error),
                        absent ? " (is the daemon running?)" : "");
    else if (absent)
        muxctl_complain("no daemon listens on /run/guestmux.sock or /run/hostmux.sock; start one, "
                        "or name its socket with --socket");
    else
        muxctl_complain("the daemon's socket: %s", g_strerror(error));
    return EXIT_NO_DAEMON;
}

int muxctl_code_status(const char *code)
{
    static const struct {
        const char *code;
        int status;
    } known[] = {
        {"closed", EXIT_REFUSED}, // the channel's code with the number 0
        {"no-service", EXIT_REFUSED + MUX_CLIENT_NO_SERVICE},
        {"no-buffer", EXIT_REFUSED + MUX_CLIENT_NO_SERVICE},
        {"denied", EXIT_REFUSED + MUX_CLIENT_DENIED},
        {"refused", EXIT_REFUSED + MUX_CLIENT_REFUSED},
        {"limit", EXIT_REFUSED + MUX_CLIENT_LIMIT},
        {"busy", EXIT_REFUSED + MUX_CLIENT_LIMIT},
        {"timeout", EXIT_TIMEOUT},
        {"link-down", EXIT_REFUSED + MUX_CLIENT_LINK_DOWN},
        {"bad-name", EXIT_BAD_NAME},
        {"taken", EXIT_TAKEN},
        {"exists", EXIT_TAKEN},
        {"bad-size", EXIT_USAGE},
        {"no-memory", EXIT_UNSHARED},
        {"unmappable", EXIT_UNSHARED},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (strcmp(known[i].code, code) == 0)
            return known[i].status;
    return EXIT_ERROR;
}

static int refused_status(int result, const MuxClientRefusal *refusal)
{
    if (result >= MUX_CLIENT_NO_SERVICE && result <= MUX_CLIENT_BAD_NAME)
        return EXIT_REFUSED + result;
    return result == MUX_CLIENT_UNREGISTERED ? EXIT_TAKEN : muxctl_code_status(refusal->code);
}

int muxctl_explain(const MuxctlOptions *options, const char *what, int result,
                   const MuxClientRefusal *refusal)
{
    if (result <= 0)
        return result == 0 ? EXIT_GOOD : explain_error(options, what, -result);
    if (result == MUX_CLIENT_CLOSED)
        muxctl_complain("%s: the daemon closed the connection without an answer", what);
    else if (refusal->text[0] == '\0')
        muxctl_complain("%s: %s", what, mux_client_result_name(result));
    else
        muxctl_complain("%s: %s: %s", what, refusal->code, refusal->text);
    return refused_status(result, refusal);
}

int muxctl_open(const MuxctlOptions *options, const char *name, int timeout_ms, int *ret_fd)
{
    MuxClientRefusal refusal = {0};
    int result = mux_client_connect(options->socket, name, timeout_ms, &refusal, ret_fd);

    return muxctl_explain(options, name, result, &refusal);
}

int muxctl_milliseconds(double seconds)
{
    if (seconds < 0)
        return -1;
    return seconds * 1000 >= INT_MAX ? INT_MAX : (int)(seconds * 1000);
}
