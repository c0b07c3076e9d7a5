// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer wait NAME: first the list, whose answer also says which side this is, then events,
// which begin with those that there are: so nothing can slip through between the two.

#include <errno.h>
#include <string.h>

#include "buffer.h"
#include "daemon.h"
#include "text.h"

// What is left until then, for libmuxclient; -1: for ever.
static int time_left(gint64 end)
{
    return end < 0 ? -1
                   : muxctl_milliseconds((double)MAX(end - g_get_monotonic_time(), 0) /
                                         G_TIME_SPAN_SECOND);
}

// Up to the first word of it. 0, or libmuxclient's result.
static int follow(MuxClientEvents *events, const char *name, gint64 end)
{
    const MuxClientEvent *event;

    for (;;) {
        int left = time_left(end);
        int result = left == 0 ? MUX_CLIENT_TIMEOUT : mux_client_next_event(events, left, &event);
        if (result != 0 && result != -EPROTO)
            return result;
        if (result != 0)
            continue;
        if (event->kind == MUX_CLIENT_EVENT_LOST)
            return MUX_CLIENT_AGAIN;
        if (event->kind == MUX_CLIENT_EVENT_BUFFER_ADDED && event->buffer &&
            strcmp(event->buffer->name, name) == 0)
            return 0;
    }
}

static int wait_for(const MuxctlOptions *options, const char *name, gint64 end,
                    MuxClientRefusal *refusal)
{
    int result;

    do { // after a "lost" anew, since it may have been among those
        MuxClientEvents *events = NULL;
        result = mux_client_events(options->socket, MUX_CLIENT_EVENTS_BUFFERS, time_left(end),
                                   refusal, &events);
        if (result == 0)
            result = follow(events, name, end);
        mux_client_events_free(events);
    } while (result == MUX_CLIENT_AGAIN);
    return result;
}

static int run_wait(const MuxctlOptions *options, const char *name, double timeout)
{
    gint64 end = timeout < 0 ? -1 : g_get_monotonic_time() + (gint64)(timeout * G_TIME_SPAN_SECOND);
    MuxClientRefusal refusal = {0};
    json_object *answer = NULL, *buffer = NULL;
    int status = muxctl_buffer_find(options, name, &answer, &buffer);

    if (status != EXIT_GOOD)
        return status;
    bool ready = strcmp(muxctl_word(buffer, "state"), "ready") == 0;
    json_object_put(answer);
    if (ready)
        return EXIT_GOOD;
    int result = timeout == 0 ? MUX_CLIENT_TIMEOUT : wait_for(options, name, end, &refusal);
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

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    double timeout = MUXCTL_FOR_EVER;
    const GOptionEntry own[] = {{"timeout", 0, 0, G_OPTION_ARG_DOUBLE, &timeout,
                                 "How long; without it, for ever. 0: only look", "SECONDS"},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);

    if (!arguments ||
        (timeout != MUXCTL_FOR_EVER && !muxctl_check_seconds("--timeout", timeout, 0)))
        return EXIT_USAGE;
    const char *slash = strchr(arguments[0], '/');
    if (slash == arguments[0] || !muxctl_is_service(slash ? slash + 1 : arguments[0])) {
        muxctl_complain("%s: bad-name: this is no name of a buffer", arguments[0]);
        return EXIT_BAD_NAME;
    }
    return run_wait(options, arguments[0], timeout);
}

const MuxctlCommand muxctl_buffer_wait = {
    .name = "buffer wait",
    .parameters = "NAME",
    .summary = "Wait until a buffer can be opened",
    .help = "  muxctl buffer wait web1/clip --timeout 30 && muxctl buffer cat web1/clip\n"
            "Exit status: 0 it can be opened, 15 the time is over, 3 the daemon is not there.",
    .least = 1,
    .most = 1,
    .run = run,
};
