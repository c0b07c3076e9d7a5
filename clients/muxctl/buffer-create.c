// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer create NAME [-- CMD]: the buffer lives as long as this has it open.

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "daemon.h"
#include "hold.h"
#include "properties.h"
#include "text.h"

typedef struct Wish {
    char **arguments; // the name, and the command
    char *size_text, *side;
    char **property_texts;
    gboolean quiet;
    double timeout;
    guint64 size;
    MuxClientProperty *properties;
    MuxClientBufferOptions how;
} Wish;

static void wish_clear(Wish *wish)
{
    g_strfreev(wish->arguments);
    g_strfreev(wish->property_texts);
    g_free(wish->size_text);
    g_free(wish->side);
    g_free(wish->properties);
    g_free((char *)wish->how.from);
}

static bool find_side(Wish *wish)
{
    if (g_strcmp0(wish->side, "guest") == 0)
        wish->how.read_only_for = MUX_CLIENT_GUEST;
    else if (g_strcmp0(wish->side, "host") == 0)
        wish->how.read_only_for = MUX_CLIENT_HOST;
    else if (wish->side)
        muxctl_complain("--read-only-for takes guest or host, not '%s'", wish->side);
    return !wish->side || wish->how.read_only_for != MUX_CLIENT_NOBODY;
}

static bool is_good(Wish *wish)
{
    if (!wish->size_text && !wish->how.from) {
        muxctl_complain("buffer create needs --size (see muxctl buffer create --help)");
        return false;
    }
    return (!wish->size_text || muxctl_parse_size("--size", wish->size_text, &wish->size)) &&
           (wish->timeout == -1 || muxctl_check_seconds("--timeout", wish->timeout, 0.001)) &&
           muxctl_is_text("--from", wish->how.from) && find_side(wish) &&
           muxctl_properties_split("--property", wish->property_texts, &wish->properties,
                                   &wish->how.n_properties);
}

static bool parse(const MuxctlCommand *command, MuxctlOptions *options, char **argv, Wish *wish)
{
    const GOptionEntry own[] = {
        {"size", 0, 0, G_OPTION_ARG_STRING, &wish->size_text,
         "How large: 4M or 4MiB; it is rounded up to a power of two", "BYTES"},
        {"property", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &wish->property_texts,
         "For programs; may be repeated, up to 32 times", "NAME=VALUE"},
        {"read-only-for", 0, 0, G_OPTION_ARG_STRING, &wish->side, "Whose programs may not write",
         "guest|host"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &wish->how.from,
         "On a host: the POSIX shared memory object that it shall be", "/NAME"},
        {"timeout", 0, 0, G_OPTION_ARG_DOUBLE, &wish->timeout, "How long to wait until it is ready",
         "SECONDS"},
        {"quiet", 0, 0, G_OPTION_ARG_NONE, &wish->quiet, "Do not say that it is ready", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};

    wish->arguments = muxctl_parse(command, options, own, argv);
    return wish->arguments && is_good(wish);
}

static void say_ready(const MuxctlOptions *options, const MuxClientBufferInfo *info)
{
    if (options->json) {
        json_object *object = muxctl_buffer_json(info);
        g_autofree char *line = muxctl_json(object, JSON_C_TO_STRING_NOSLASHESCAPE);
        (void)puts(line);
        json_object_put(object);
    } else {
        g_autofree char *name = muxctl_printable(info->name);
        (void)printf("%s: ready, %" G_GUINT64_FORMAT " bytes\n", name, info->size);
    }
}

// Until it is time to end; frees the buffer. The exit status.
static int hold_on(const char *name, MuxctlHold *hold, MuxClientBuffer *buffer)
{
    struct pollfd fds[] = {{.fd = hold->signals, .events = POLLIN},
                           {.fd = mux_client_buffer_fd(buffer), .events = POLLIN}};
    int gone = EXIT_GOOD;

    for (;;) {
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
            continue;
        if (fds[0].revents && muxctl_hold_take(hold))
            break;
        if (!fds[1].revents || (gone = muxctl_buffer_check(name, buffer)) == EXIT_GOOD)
            continue;
        // To close it is to say that nothing of it is mapped here any more.
        mux_client_buffer_free(g_steal_pointer(&buffer));
        fds[1].fd = -1;
        if (!muxctl_hold_ask(hold))
            break;
    }
    mux_client_buffer_free(buffer);
    return gone == EXIT_GOOD ? hold->status : gone;
}

// Takes the buffer.
static int serve(const MuxctlOptions *options, const Wish *wish, MuxClientBuffer *buffer)
{
    const char *name = wish->arguments[0];
    char **command = wish->arguments[1] ? wish->arguments + 1 : NULL;
    MuxctlHold hold;
    int status = muxctl_hold_init(&hold);

    if (status == EXIT_GOOD && command) {
        status = muxctl_hold_start(&hold, command, "GUESTMUX_BUFFER", name);
    } else if (status == EXIT_GOOD && !wish->quiet) {
        say_ready(options, mux_client_buffer_info(buffer));
        status = muxctl_flush();
    }
    if (status == EXIT_GOOD)
        status = hold_on(name, &hold, buffer);
    else
        mux_client_buffer_free(buffer);
    muxctl_hold_deinit(&hold);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    Wish wish = {.timeout = -1};
    MuxClientRefusal refusal = {0};
    MuxClientBuffer *buffer = NULL;
    int status = EXIT_USAGE;

    if (parse(command, options, argv, &wish)) {
        wish.how.properties = wish.properties;
        int result =
            mux_client_buffer_create(options->socket, wish.arguments[0], wish.size, &wish.how,
                                     muxctl_milliseconds(wish.timeout), &refusal, &buffer);
        status = muxctl_explain(options, wish.arguments[0], result, &refusal);
    }
    if (status == EXIT_GOOD)
        status = serve(options, &wish, buffer);
    wish_clear(&wish);
    return status;
}

const MuxctlCommand muxctl_buffer_create = {
    .name = "buffer create",
    .parameters = "NAME [-- COMMAND…]",
    .summary = "Make a buffer, and hold it as long as this runs",
    .help =
        "It ends with a signal, or with COMMAND, whose exit status it has then and which finds\n"
        "the name in GUESTMUX_BUFFER of its environment.\n"
        "  muxctl buffer create frames --size 16M --property application=player\n"
        "  muxctl buffer create web1/clip --size 1M --read-only-for guest -- ./feed",
    .least = 1,
    .most = G_MAXUINT,
    .json = true,
    .run = run,
};
