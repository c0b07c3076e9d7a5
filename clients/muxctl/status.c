// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl status and muxctl vms: the links, with their channels or without.

#include <stdio.h>
#include <string.h>

#include "show.h"
#include "table.h"
#include "text.h"

static void print_channels(json_object *channels)
{
    MuxctlTable table;
    size_t n = channels ? json_object_array_length(channels) : 0;

    if (n == 0)
        return;
    muxctl_table_init(&table, ">ID DIR SERVICE CALLER STATE >SENT >RECEIVED >UNREAD >CREDIT >AGE");
    for (size_t i = 0; i < n; i++) {
        json_object *channel = json_object_array_get_idx(channels, i);
        double age = json_object_get_double(muxctl_get(channel, "age"));
        muxctl_table_add(&table, muxctl_text(channel, "id"));
        muxctl_table_add(&table, muxctl_text(channel, "direction"));
        muxctl_table_add(&table, muxctl_text(channel, "service"));
        muxctl_table_take(&table, muxctl_caller(muxctl_get(channel, "caller")));
        muxctl_table_add(&table, muxctl_text(channel, "state"));
        muxctl_table_take(&table, muxctl_human(muxctl_number(channel, "sent")));
        muxctl_table_take(&table, muxctl_human(muxctl_number(channel, "received")));
        muxctl_table_take(&table, muxctl_human(muxctl_number(channel, "unread")));
        muxctl_table_take(&table, muxctl_human(muxctl_number(channel, "credit")));
        muxctl_table_take(&table, g_strdup_printf("%.1fs", age));
    }
    muxctl_table_print(&table, "  ");
    muxctl_table_deinit(&table);
}

// Who is at the other end, and whether it is of another version than this daemon.
static void print_peer(json_object *peer, const char *own)
{
    const char *version = muxctl_text(peer, "version");

    (void)printf("  other side: %s %s", muxctl_text(peer, "daemon"), version);
    if (strcmp(version, own) != 0)
        (void)printf(", not the version of this side, %s", own);
    (void)printf("\n");
}

// One way: what the memory is used for, or why it is not.
static void print_region(json_object *region, const char *name)
{
    const char *state = muxctl_text(region, "state"), *why = muxctl_word(region, "why");

    if (!region)
        return;
    (void)printf("  memory %s: %s", name, state);
    if (strcmp(state, "on") == 0) {
        g_autofree char *shared = muxctl_human(muxctl_number(region, "shared_bytes"));
        g_autofree char *plain = muxctl_human(muxctl_number(region, "inline_bytes"));
        if (muxctl_get(region, "from_bytes"))
            (void)printf(", from %s bytes on", muxctl_text(region, "from_bytes"));
        else if (json_object_object_get_ex(region, "from_bytes",
                                           NULL)) // who receives does not know
            (void)printf(", not used: it is not faster here");
        (void)printf("; %s shared, %s inline; %s of %s slots in use", shared, plain,
                     muxctl_text(region, "slots_used"), muxctl_text(region, "slots"));
    }
    (void)printf("%s%s\n", *why ? ": " : "", why);
}

static bool are_off_alike(json_object *out, json_object *in)
{
    return strcmp(muxctl_text(out, "state"), "off") == 0 &&
           strcmp(muxctl_text(in, "state"), "off") == 0 &&
           strcmp(muxctl_text(out, "why"), muxctl_text(in, "why")) == 0;
}

static void print_memory(json_object *memory)
{
    json_object *out = muxctl_get(memory, "out"), *in = muxctl_get(memory, "in");

    if (muxctl_get(memory, "qmp"))
        (void)printf("  QMP: %s\n", muxctl_text(memory, "qmp"));
    if (out && in && are_off_alike(out, in)) {
        (void)printf("  no shared memory: %s\n", muxctl_get(out, "why")
                                                     ? muxctl_text(out, "why")
                                                     : "the other side offers none");
        return;
    }
    print_region(out, "out");
    print_region(in, "in");
}

static void print_link(json_object *link, const char *version)
{
    json_object *session = muxctl_get(link, "session"), *end = muxctl_get(link, "last_end");
    json_object *peer = muxctl_get(link, "peer");

    (void)printf("%s: %s, port %s (%s), %" G_GUINT64_FORMAT " channels\n",
                 muxctl_text(link, "name"), muxctl_text(link, "state"), muxctl_text(link, "port"),
                 muxctl_text(link, "port_state"), muxctl_number(link, "channels_open"));
    if (peer)
        print_peer(peer, version);
    if (session)
        (void)printf("  session %s, peer %s%s\n", muxctl_text(session, "id"),
                     muxctl_text(session, "peer"),
                     json_object_get_boolean(muxctl_get(session, "silent")) ? ", silent" : "");
    if (strcmp(muxctl_text(link, "state"), "greeting") == 0)
        (void)printf("  the other end has not answered yet: is its daemon running?\n");
    if (end)
        (void)printf("  last session ended %.1fs ago: %s\n",
                     json_object_get_double(muxctl_get(end, "age")), muxctl_text(end, "reason"));
    if (strcmp(muxctl_text(link, "state"), "up") == 0)
        print_memory(muxctl_get(link, "memory"));
    print_channels(muxctl_get(link, "channels"));
}

static void print_links(json_object *answer, json_object *links)
{
    const char *version = muxctl_text(answer, "version");
    size_t n = links ? json_object_array_length(links) : 0;

    for (size_t i = 0; i < n; i++)
        print_link(json_object_array_get_idx(links, i), version);
    if (n == 0)
        (void)printf("no VMs; add one with hostmux --vm NAME=unix:PATH, or in its configuration\n");
}

static void print_status(json_object *answer)
{
    (void)printf("%s %s\n", muxctl_text(answer, "daemon"), muxctl_text(answer, "version"));
    print_links(answer, muxctl_get(answer, "links"));
}

static void print_vms(json_object *answer)
{
    print_links(answer, muxctl_get(answer, "vms"));
}

static int run_status(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);

    return arguments ? muxctl_show(options, "status", print_status) : EXIT_USAGE;
}

static int run_vms(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);

    return arguments ? muxctl_show(options, "vms", print_vms) : EXIT_USAGE;
}

const MuxctlCommand muxctl_status = {
    .name = "status",
    .parameters = "",
    .summary = "Links, sessions and channels",
    .json = true,
    .run = run_status,
};

const MuxctlCommand muxctl_vms = {
    .name = "vms",
    .parameters = "",
    .summary = "The VMs that hostmux serves",
    .json = true,
    .run = run_vms,
};
