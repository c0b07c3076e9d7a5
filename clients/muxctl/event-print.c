// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Lines about what happens: for people, or with --json an object each.

#include "event-print.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "event-text.h"
#include "text.h"

void muxctl_event_print(const MuxctlOptions *options, json_object *event)
{
    g_autoptr(GDateTime) now =
        options->json ? g_date_time_new_now_utc() : g_date_time_new_now_local();
    g_autofree char *seconds =
        g_date_time_format(now, options->json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S");
    g_autofree char *time = g_strdup_printf(
        "%s.%03d%s", seconds, g_date_time_get_microsecond(now) / 1000, options->json ? "Z" : "");

    if (!json_object_is_type(event, json_type_object)) {
        (void)printf("%s\n", time);
    } else if (options->json) {
        json_object_object_add(event, "time", json_object_new_string(time));
        g_autofree char *line = muxctl_json(event, JSON_C_TO_STRING_NOSLASHESCAPE);
        (void)puts(line);
    } else {
        g_autofree char *line = muxctl_event_text(event);
        (void)printf("%s %s\n", time, line);
    }
    json_object_put(event);
}

bool muxctl_event_wait(int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    return !(fds[1].revents & POLLERR);
}
