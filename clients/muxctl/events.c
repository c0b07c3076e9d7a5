// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl events: a line an event, until the daemon or whoever reads the lines goes away.

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "event-print.h"

// "services,links" as libmuxclient's sum. False after having said what is wrong.
static bool parse_only(const char *text, unsigned *ret_which)
{
    static const char *const words[] = {"services", "links", "channels", "buffers"};
    static const unsigned bits[] = {MUX_CLIENT_EVENTS_SERVICES, MUX_CLIENT_EVENTS_LINKS,
                                    MUX_CLIENT_EVENTS_CHANNELS, MUX_CLIENT_EVENTS_BUFFERS};
    g_auto(GStrv) wanted = g_strsplit(text, ",", -1);
    unsigned which = 0;

    for (guint i = 0; i == 0 || wanted[i]; i++) {
        size_t word = 0;
        while (word < G_N_ELEMENTS(words) && g_strcmp0(words[word], wanted[i]) != 0)
            word++;
        if (word == G_N_ELEMENTS(words)) {
            muxctl_complain("--only takes services, links, channels, buffers, with commas between "
                            "them, not '%s'",
                            text);
            return false;
        }
        which |= bits[word];
    }
    *ret_which = which;
    return true;
}

static int follow(const MuxctlOptions *options, MuxClientEvents *events)
{
    const MuxClientEvent *event;

    for (;;) {
        int result = mux_client_next_event(events, 0, &event);
        if (result == 0) {
            muxctl_event_print(options, json_tokener_parse(event->line));
            continue;
        }
        if (result != MUX_CLIENT_AGAIN && result != -EPROTO) {
            muxctl_complain("the daemon went away");
            return EXIT_NO_DAEMON;
        }
        if (fflush(stdout) != 0)
            return muxctl_flush();
        if (!muxctl_event_wait(mux_client_events_fd(events)))
            return EXIT_BROKEN;
    }
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_autofree char *only = NULL, *application = NULL;
    const GOptionEntry own[] = {
        {"only", 0, 0, G_OPTION_ARG_STRING, &only, "Only these: services, links, channels, buffers",
         "KIND[,KIND…]"},
        {"application", 0, 0, G_OPTION_ARG_STRING, &application,
         "With --only buffers: only those whose property \"application\" is that", "NAME"},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    unsigned which = MUX_CLIENT_EVENTS_ALL;
    MuxClientRefusal refusal = {0};
    MuxClientEvents *events = NULL;

    if (!arguments || (only && !parse_only(only, &which)))
        return EXIT_USAGE;
    if (application && which != MUX_CLIENT_EVENTS_BUFFERS) {
        muxctl_complain("--application goes with --only buffers");
        return EXIT_USAGE;
    }
    int result = application
                     ? mux_client_buffer_events(options->socket, application, -1, &refusal, &events)
                     : mux_client_events(options->socket, which, -1, &refusal, &events);
    if (result != 0)
        return muxctl_explain(options, "events", result, &refusal);
    int status = follow(options, events);
    mux_client_events_free(events);
    return status;
}

const MuxctlCommand muxctl_events = {
    .name = "events",
    .parameters = "",
    .summary = "Print what happens, a line an event",
    .help = "services: what can be opened, and what this side offers, comes, changes and goes.\n"
            "links: VMs and sessions. channels: opened, closed, refused.\n"
            "buffers: memory that is shared comes, gets other properties, and goes.\n"
            "  muxctl events --only services\n"
            "  muxctl events --json | jq -r 'select(.event == \"link-down\").reason'",
    .json = true,
    .run = run,
};
