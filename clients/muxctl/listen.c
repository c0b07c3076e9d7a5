// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Registering, and the one channel that is joined to standard input and output when there is no
// program for it.

#include "listen.h"

#include <errno.h>

#include "join.h"
#include "listen-options.h"

// Whether that was a daemon that is not there, or has no time, and may be otherwise soon.
static bool is_passing(int result)
{
    return result == -ENOENT || result == -ECONNREFUSED || result == MUX_CLIENT_CLOSED ||
           result == MUX_CLIENT_BUSY || result == MUX_CLIENT_TIMEOUT;
}

int muxctl_register(const MuxctlService *service, int timeout_ms, bool *ret_again,
                    MuxClientListener **ret_listener)
{
    MuxClientRefusal refusal = {0};
    int result = mux_client_listen(service->options->socket, service->name, &service->how,
                                   timeout_ms, &refusal, ret_listener);

    *ret_again = service->retry && is_passing(result);
    if (*ret_again)
        return EXIT_NO_DAEMON;
    return muxctl_explain(service->options, service->name, result, &refusal);
}

void muxctl_say_waiting(const MuxctlService *service)
{
    if (!service->quiet)
        muxctl_complain("%s: the daemon does not answer; waiting for it", service->name);
}

void muxctl_say_listening(const MuxctlService *service)
{
    if (!service->quiet)
        muxctl_complain("listening as '%s'", service->name);
}

int muxctl_explain_end(const MuxctlService *service, int result, const MuxClientListener *listener)
{
    if (result == MUX_CLIENT_UNREGISTERED) {
        muxctl_complain("%s: the daemon ended the registration: %s", service->name,
                        mux_client_listener_reason(listener));
        return EXIT_TAKEN;
    }
    muxctl_complain("%s: the daemon went away%s", service->name,
                    service->retry ? "; waiting for it" : "");
    return EXIT_NO_DAEMON;
}

// A listener, however long that takes with --retry. `said`: that it is waited for.
static int register_patiently(const MuxctlService *service, bool said,
                              MuxClientListener **ret_listener)
{
    bool again = false;
    int status;

    while ((status = muxctl_register(service, -1, &again, ret_listener)) != EXIT_GOOD && again) {
        if (!said)
            muxctl_say_waiting(service);
        said = true;
        g_usleep(G_USEC_PER_SEC);
    }
    if (status == EXIT_GOOD)
        muxctl_say_listening(service);
    return status;
}

// The first channel, and the registration's end.
static int take_first(const MuxctlService *service, MuxctlSession *session, int *ret_fd)
{
    MuxClientListener *listener = NULL;
    const MuxClientChannel *channel;
    int status = register_patiently(service, false, &listener), result = 0;

    while (status == EXIT_GOOD) {
        result = mux_client_accept(listener, -1, &channel, ret_fd);
        if (result == 0)
            break;
        if (result == -EPROTO)
            continue;
        status = muxctl_explain_end(service, result, listener);
        if (result == MUX_CLIENT_CLOSED && service->retry) {
            mux_client_listener_free(g_steal_pointer(&listener));
            status = register_patiently(service, true, &listener);
        }
    }
    // A session that ends before this answer is not noticed by it; the channel ended with it.
    if (status == EXIT_GOOD)
        muxctl_session_ask(service->options, channel->link, session);
    mux_client_listener_free(listener);
    return status;
}

static int join_first(const MuxctlService *service)
{
    MuxctlSession session = {0};
    int fd = -1, status = take_first(service, &session, &fd);

    if (status == EXIT_GOOD)
        status = muxctl_join(service->options, service->name, &session, fd);
    muxctl_session_clear(&session);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    MuxctlListenOptions listen = {.service = {.options = options}};
    int status = muxctl_listen_options(command, options, argv, &listen);

    if (status == EXIT_GOOD)
        status = listen.argv ? muxctl_serve(&listen.service, listen.argv, listen.max)
                             : join_first(&listen.service);
    muxctl_listen_options_clear(&listen);
    return status;
}

const MuxctlCommand muxctl_listen = {
    .name = "listen",
    .parameters = "SERVICE [-- COMMAND…]",
    .summary = "Offer a service to the other side, as long as this runs",
    .help = "With COMMAND, each channel gets a process of its own, with the channel as standard\n"
            "input and output and who called in GUESTMUX_* of its environment. Without, the first\n"
            "channel is joined to standard input and output, and when it is over, so is muxctl.\n"
            "  muxctl listen uptime -- uptime\n"
            "  muxctl listen logs >>all.log\n"
            "SIGTERM and ^C end it, and the commands that run.",
    .least = 1,
    .most = G_MAXUINT,
    .run = run,
};
