// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl status, services and vms: the daemon's answer as a table, or as it is with --json.

#include <stdio.h>
#include <string.h>

#include "muxctl.h"

// What somebody on the other side chose must not control the terminal.
static const char *printable(json_object *value)
{
    if (json_object_is_type(value, json_type_string)) {
        g_autofree char *valid = g_utf8_make_valid(json_object_get_string(value), -1);
        g_autoptr(GString) shown = g_string_new(NULL);
        for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
            gunichar character = g_utf8_get_char(c);
            g_string_append_unichar(shown, g_unichar_isprint(character) ? character : '?');
        }
        json_object_set_string(value, shown->str);
    }
    return json_object_get_string(value);
}

static const char *text(json_object *object, const char *key)
{
    json_object *value = muxctl_get(object, key);
    return value ? printable(value) : "-";
}

static guint64 number(json_object *object, const char *key)
{
    return json_object_get_uint64(muxctl_get(object, key));
}

// 12, 3.4k, 5.6M: seven characters at most.
static const char *human(guint64 bytes, char *buffer, size_t size)
{
    static const char units[] = " kMGTPE";
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < strlen(units)) {
        value /= 1000;
        unit++;
    }
    if (unit == 0)
        (void)snprintf(buffer, size, "%" G_GUINT64_FORMAT, bytes);
    else
        (void)snprintf(buffer, size, "%.1f%c", value, units[unit]);
    return buffer;
}

static void print_channels(json_object *channels)
{
    char sent[16], received[16], unread[16], credit[16];
    size_t n = json_object_array_length(channels);

    if (n == 0)
        return;
    (void)printf("  %6s %-3s %-24s %-11s %8s %8s %8s %8s %9s\n", "ID", "DIR", "SERVICE", "STATE",
                 "SENT", "RECEIVED", "UNREAD", "CREDIT", "AGE");
    for (size_t i = 0; i < n; i++) {
        json_object *channel = json_object_array_get_idx(channels, i);
        (void)printf("  %6" G_GUINT64_FORMAT " %-3s %-24s %-11s %8s %8s %8s %8s %8.1fs\n",
                     number(channel, "id"), text(channel, "direction"), text(channel, "service"),
                     text(channel, "state"), human(number(channel, "sent"), sent, sizeof(sent)),
                     human(number(channel, "received"), received, sizeof(received)),
                     human(number(channel, "unread"), unread, sizeof(unread)),
                     human(number(channel, "credit"), credit, sizeof(credit)),
                     json_object_get_double(muxctl_get(channel, "age")));
    }
}

static void print_link(json_object *link)
{
    json_object *session = muxctl_get(link, "session"), *end = muxctl_get(link, "last_end");

    (void)printf("%s: %s, port %s (%s), %" G_GUINT64_FORMAT " channels\n", text(link, "name"),
                 text(link, "state"), text(link, "port"), text(link, "port_state"),
                 number(link, "channels_open"));
    if (session)
        (void)printf("  session %s, peer %s%s\n", text(session, "id"), text(session, "peer"),
                     json_object_get_boolean(muxctl_get(session, "silent")) ? ", silent" : "");
    if (strcmp(text(link, "state"), "greeting") == 0)
        (void)printf("  the other end has not answered yet: is its daemon running?\n");
    if (end)
        (void)printf("  last session ended %.1fs ago: %s\n",
                     json_object_get_double(muxctl_get(end, "age")), text(end, "reason"));
    if (muxctl_get(link, "channels"))
        print_channels(muxctl_get(link, "channels"));
}

static void print_links(json_object *links)
{
    size_t n = json_object_array_length(links);

    for (size_t i = 0; i < n; i++)
        print_link(json_object_array_get_idx(links, i));
    if (n == 0)
        (void)printf("no VMs; add one with hostmux --vm NAME=unix:PATH, or in its configuration\n");
}

static void print_services(json_object *services)
{
    size_t n = json_object_array_length(services);

    if (n == 0) {
        (void)printf("no services; add NAME.json to the daemon's services folder\n");
        return;
    }
    (void)printf("%-24s %8s %-32s %s\n", "SERVICE", "CHANNELS", "HANDLER", "DESCRIPTION");
    for (size_t i = 0; i < n; i++) {
        json_object *service = json_object_array_get_idx(services, i);
        (void)printf("%-24s %8" G_GUINT64_FORMAT " %-32s %s\n", text(service, "service"),
                     number(service, "channels"),
                     text(service, muxctl_get(service, "exec") ? "exec" : "connect"),
                     text(service, "description"));
    }
}

static int show(const MuxctlOptions *options, char **arguments, const char *verb, const char *key,
                void (*print)(json_object *list))
{
    json_object *answer;

    if (arguments[0]) {
        g_printerr("muxctl: %s takes no arguments, but got '%s'\n", verb, arguments[0]);
        return EXIT_USAGE;
    }
    int status = muxctl_ask(options, verb, &answer);
    if (status != EXIT_GOOD)
        return status;
    if (options->json)
        (void)puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PRETTY |
                                                              JSON_C_TO_STRING_NOSLASHESCAPE));
    else
        print(muxctl_get(answer, key));
    json_object_put(answer);
    return EXIT_GOOD;
}

int muxctl_status(const MuxctlOptions *options, char **arguments)
{
    return show(options, arguments, "status", "links", print_links);
}

int muxctl_vms(const MuxctlOptions *options, char **arguments)
{
    return show(options, arguments, "vms", "vms", print_links);
}

int muxctl_services(const MuxctlOptions *options, char **arguments)
{
    return show(options, arguments, "services", "services", print_services);
}
