// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The options of muxctl listen. What they may hold is the daemon's to say; here is only what would
// not even get to it.

#include "listen-options.h"

#include "properties.h"

#define CHANNELS     64 // as the daemon has it
#define CHANNELS_MAX 65535

static bool find_command(MuxctlListenOptions *listen)
{
    listen->argv = listen->arguments[1] ? listen->arguments + 1 : NULL;
    if (!listen->argv)
        return true;
    g_autofree char *path = g_find_program_in_path(listen->argv[0]);
    if (!path)
        muxctl_complain("'%s' is no program that can be started", listen->argv[0]);
    return path != NULL;
}

static bool are_good(MuxctlListenOptions *listen, gint max)
{
    if (max < 1 || max > CHANNELS_MAX) {
        muxctl_complain("--max-channels takes a number from 1 to %d", CHANNELS_MAX);
        return false;
    }
    for (guint i = 0; listen->vms && listen->vms[i]; i++)
        if (!muxctl_is_text("--vms", listen->vms[i]))
            return false;
    return muxctl_is_text("--description", listen->description) &&
           muxctl_properties_split("--property", listen->property_texts, &listen->properties,
                                   &listen->service.how.n_properties) &&
           find_command(listen);
}

int muxctl_listen_options(const MuxctlCommand *command, MuxctlOptions *options, char **argv,
                          MuxctlListenOptions *listen)
{
    MuxctlService *service = &listen->service;
    gint max = CHANNELS;
    const GOptionEntry own[] = {
        {"description", 0, 0, G_OPTION_ARG_FILENAME, &listen->description, "For people", "TEXT"},
        {"property", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &listen->property_texts,
         "For programs; may be repeated, up to 32 times", "NAME=VALUE"},
        {"vms", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &listen->vms,
         "On a host: which VMs may open it (web*); may be repeated", "GLOB"},
        {"max-channels", 0, 0, G_OPTION_ARG_INT, &max, "Open at once, of each VM (64)", "NUMBER"},
        {"once", 0, 0, G_OPTION_ARG_NONE, &service->once, "End after the first channel", NULL},
        {"retry", 0, 0, G_OPTION_ARG_NONE, &service->retry,
         "Wait for a daemon that is not there, or goes away", NULL},
        {"quiet", 0, 0, G_OPTION_ARG_NONE, &service->quiet, "Do not say that it listens", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};

    listen->arguments = muxctl_parse(command, options, own, argv);
    if (!listen->arguments || !are_good(listen, max))
        return EXIT_USAGE;
    if (!muxctl_is_service(listen->arguments[0])) {
        muxctl_complain("%s: bad-name: this is no name of a service", listen->arguments[0]);
        return EXIT_BAD_NAME;
    }
    service->once |= !listen->argv;
    listen->max = service->once ? 1 : (guint)max; // so that no second one is there to be dropped
    service->name = listen->arguments[0];
    service->how.description = listen->description;
    service->how.properties = listen->properties;
    service->how.vms = (const char *const *)listen->vms;
    service->how.max_channels = listen->max;
    return EXIT_GOOD;
}

void muxctl_listen_options_clear(MuxctlListenOptions *listen)
{
    g_strfreev(listen->arguments);
    g_strfreev(listen->property_texts);
    g_strfreev(listen->vms);
    g_free(listen->properties);
    g_free(listen->description);
}
