// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl events: a line an event, until the daemon or whoever reads the lines goes away.

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "event-text.h"
#include "text.h"

// "services,links" as libmuxclient's sum. False after having said what is wrong.
static bool parse_only(const char *text, unsigned *ret_which)
{
    static const char *const words[] = {"services", "links", "channels"};
    static const unsigned bits[] = {MUX_CLIENT_EVENTS_SERVICES, MUX_CLIENT_EVENTS_LINKS,
                                    MUX_CLIENT_EVENTS_CHANNELS};
    g_auto(GStrv) wanted = g_strsplit(text, ",", -1);
    unsigned which = 0;

    for (guint i = 0; i == 0 || wanted[i]; i++) {
        size_t word = 0;
        while (word < G_N_ELEMENTS(words) && g_strcmp0(words[word], wanted[i]) != 0)
            word++;
        if (word == G_N_ELEMENTS(words)) {
            muxctl_complain("--only takes services, links, channels, with commas between them, "
                            "not '%s'",
                            text);
            return false;
        }
        which |= bits[word];
    }
    *ret_which = which;
    return true;
}

static void print(const MuxctlOptions *options, const MuxClientEvent *event)
{
    g_autoptr(GDateTime) now =
        options->json ? g_date_time_new_now_utc() : g_date_time_new_now_local();
    g_autofree char *seconds =
        g_date_time_format(now, options->json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S");
    g_autofree char *time = g_strdup_printf(
        "%s.%03d%s", seconds, g_date_time_get_microsecond(now) / 1000, options->json ? "Z" : "");
    json_object *object = json_tokener_parse(event->line);

    if (!json_object_is_type(object, json_type_object)) {
        (void)printf("%s\n", time);
    } else if (options->json) {
        json_object_object_add(object, "time", json_object_new_string(time));
        g_autofree char *line = muxctl_json(object, JSON_C_TO_STRING_NOSLASHESCAPE);
        (void)puts(line);
    } else {
        g_autofree char *line = muxctl_event_text(object);
        (void)printf("%s %s\n", time, line);
    }
    json_object_put(object);
}

// Waits for an event. False when nobody reads the lines any more.
static bool wait_for_event(const MuxClientEvents *events)
{
    struct pollfd fds[] = {{.fd = mux_client_events_fd(events), .events = POLLIN},
                           {.fd = STDOUT_FILENO, .events = 0}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    return !(fds[1].revents & POLLERR);
}

static int follow(const MuxctlOptions *options, MuxClientEvents *events)
{
    const MuxClientEvent *event;

    for (;;) {
        int result = mux_client_next_event(events, 0, &event);
        if (result == 0) {
            print(options, event);
            continue;
        }
        if (result != MUX_CLIENT_AGAIN && result != -EPROTO) {
            muxctl_complain("the daemon went away");
            return EXIT_NO_DAEMON;
        }
        if (fflush(stdout) != 0)
            return muxctl_flush();
        if (!wait_for_event(events))
            return EXIT_BROKEN;
    }
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_autofree char *only = NULL;
    const GOptionEntry own[] = {{"only", 0, 0, G_OPTION_ARG_STRING, &only,
                                 "Only these: services, links, channels", "KIND[,KIND…]"},
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    unsigned which = MUX_CLIENT_EVENTS_ALL;
    MuxClientRefusal refusal = {0};
    MuxClientEvents *events = NULL;

    if (!arguments || (only && !parse_only(only, &which)))
        return EXIT_USAGE;
    int result = mux_client_events(options->socket, which, -1, &refusal, &events);
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
            "  muxctl events --only services\n"
            "  muxctl events --json | jq -r 'select(.event == \"link-down\").reason'",
    .json = true,
    .run = run,
};
