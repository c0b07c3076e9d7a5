// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// hostmux, the daemon on the host: a link for each VM, each with its own session, buffers and
// limits.

#include <stddef.h>

#include "relay/daemon.h"
#include "relay/json.h"
#include "vms.h"

typedef struct Host {
    char **options; // --vm
    MuxVms *vms;
} Host;

static bool configure(MuxDaemon *daemon, json_object *config, GError **error)
{
    Host *host = daemon->user;
    json_object *vms = NULL;
    g_auto(GStrv) patterns = NULL;

    if (!mux_json_object(config, "vms", &vms, error) ||
        !mux_json_strings(config, "vm_patterns", &patterns, error))
        return false;
    if (!host->vms)
        host->vms = mux_vms_new(&daemon->relay, host->options);
    return mux_vms_configure(host->vms, vms, patterns, error);
}

static void finish(MuxDaemon *daemon)
{
    Host *host = daemon->user;

    mux_vms_free(host->vms);
    g_strfreev(host->options);
}

int main(int argc, char **argv)
{
    static const char *const keys[] = {"vms", "vm_patterns", NULL};
    Host host = {0};
    const GOptionEntry options[] = {
        {"vm", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &host.options,
         "A VM and its port: connect to QEMU's chardev socket, or wait for it; may be repeated",
         "NAME=unix:PATH|listen:PATH"},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    const MuxDaemonKind kind = {
        .name = "hostmux",
        .summary = "Carries named channels between this host and its virtual machines.",
        .role = MUX_HOST,
        .socket = "/run/hostmux.sock",
        .config = "/etc/hostmux/hostmux.json",
        .services = "/etc/hostmux/services",
        .options = options,
        .keys = keys,
        .configure = configure,
        .finish = finish,
    };

    return mux_daemon_run(&kind, &host, argc, argv);
}
