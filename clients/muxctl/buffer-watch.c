// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer watch NAME: a line for all that is said of a buffer, until it is gone.

#include <errno.h>
#include <stdio.h>

#include "buffer.h"
#include "event-print.h"

static json_object *make_event(const char *word)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string(word));
    return event;
}

static void print_ready(const MuxctlOptions *options, const MuxClientBuffer *buffer)
{
    const MuxClientBufferInfo *info = mux_client_buffer_info(buffer);
    json_object *event = make_event("ready");

    json_object_object_add(event, "buffer", muxctl_buffer_json(info));
    muxctl_event_print(options, event);
}

static void print_news(const MuxctlOptions *options, const MuxClientBuffer *buffer,
                       const MuxClientBufferNews *news)
{
    bool notice = news->kind == MUX_CLIENT_BUFFER_NOTICE;
    json_object *event = make_event(notice ? "notice" : "properties");

    if (notice) {
        json_object_object_add(event, "sequence", json_object_new_uint64(news->sequence));
        json_object_object_add(event, "offset", json_object_new_uint64(news->offset));
        json_object_object_add(event, "length", json_object_new_uint64(news->length));
    } else {
        const MuxClientBufferInfo *info = mux_client_buffer_info(buffer);
        json_object_object_add(event, "properties", muxctl_buffer_properties(info));
    }
    muxctl_event_print(options, event);
}

static void print_gone(const MuxctlOptions *options, const char *reason)
{
    json_object *event = make_event("gone");

    json_object_object_add(event, "reason", json_object_new_string(reason));
    muxctl_event_print(options, event);
}

// Frees the buffer: to close it is to say that nothing of it is mapped here any more, and whoever
// reads the lines may be slow.
static int end(const MuxctlOptions *options, const char *name, int result, MuxClientBuffer *buffer)
{
    g_autofree char *reason = g_strdup(mux_client_buffer_reason(buffer));
    int status =
        result == MUX_CLIENT_GONE ? EXIT_GOOD : muxctl_buffer_explain(name, result, buffer);

    mux_client_buffer_free(buffer);
    if (result == MUX_CLIENT_GONE)
        print_gone(options, reason);
    int flushed = muxctl_flush();
    return status == EXIT_GOOD ? flushed : status;
}

// Takes the buffer.
static int follow(const MuxctlOptions *options, const char *name, MuxClientBuffer *buffer)
{
    const MuxClientBufferNews *news;
    int status = EXIT_GOOD;

    print_ready(options, buffer);
    for (;;) {
        int result = mux_client_buffer_next(buffer, 0, &news);
        if (result == 0) {
            print_news(options, buffer, news);
            continue;
        }
        if (result != MUX_CLIENT_AGAIN && result != -EPROTO)
            return end(options, name, result, buffer);
        status = muxctl_flush();
        if (status == EXIT_GOOD && !muxctl_event_wait(mux_client_buffer_fd(buffer)))
            status = EXIT_BROKEN;
        if (status != EXIT_GOOD)
            break;
    }
    mux_client_buffer_free(buffer);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    g_auto(GStrv) arguments = muxctl_parse(command, options, NULL, argv);
    MuxClientBuffer *buffer = NULL;

    if (!arguments)
        return EXIT_USAGE;
    int status = muxctl_buffer_open(options, arguments[0], MUX_CLIENT_BUFFER_READ, &buffer);
    return status == EXIT_GOOD ? follow(options, arguments[0], buffer) : status;
}

const MuxctlCommand muxctl_buffer_watch = {
    .name = "buffer watch",
    .parameters = "NAME",
    .summary = "Print notices and changes of properties, until it is gone",
    .help = "  muxctl buffer watch clip | while read -r time what rest; do …; done",
    .least = 1,
    .most = 1,
    .json = true,
    .run = run,
};
