// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// hostmux, the daemon on the host: a link for each VM, each with its own session, buffers and
// limits.

#include <gio/gio.h>

#include "relay/daemon.h"
#include "relay/json.h"
#include "settings.h"
#include "vms.h"

typedef struct Host {
    char **options; // --vm
    MuxMemory *memory;
    MuxVms *vms;
} Host;

// Where nodes are made: beside the socket, unless that lies in a folder of that name already.
static char *default_run(const MuxDaemon *daemon, json_object *config)
{
    const char *socket = daemon->kind->socket;

    (void)mux_json_string(config, "socket", &socket, NULL);
    g_autofree char *folder = g_path_get_dirname(daemon->socket ? daemon->socket : socket);
    if (g_str_has_suffix(folder, "/hostmux"))
        return g_steal_pointer(&folder);
    return g_build_filename(folder, "hostmux", NULL);
}

static bool configure(MuxDaemon *daemon, json_object *config, GError **error)
{
    Host *host = daemon->user;
    json_object *vms = NULL;
    const char *run = NULL;
    g_auto(GStrv) patterns = NULL;
    g_autoptr(GPtrArray) shares = mux_sharings_read(config, error);

    if (!shares || !mux_json_object(config, "vms", &vms, error) ||
        !mux_json_strings(config, "vm_patterns", &patterns, error) ||
        !mux_json_string(config, "run", &run, error))
        return false;
    if (run && run[0] != '/') {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"run\" must be the absolute path of a folder");
        return false;
    }
    if (!host->memory)
        host->memory = mux_memory_new(&daemon->relay);
    if (!host->vms)
        host->vms = mux_vms_new(&daemon->relay, host->memory, host->options);
    if (!mux_vms_configure(host->vms, vms, patterns, error))
        return false;
    g_autofree char *folder = run ? g_strdup(run) : default_run(daemon, config);
    mux_memory_set_run(host->memory, folder);
    mux_memory_set_shares(host->memory, g_steal_pointer(&shares));
    return true;
}

static void finish(MuxDaemon *daemon)
{
    Host *host = daemon->user;

    mux_vms_free(host->vms);
    if (host->memory)
        mux_memory_end(host->memory);
    if (daemon->relay.links) // they have a part of it
        g_ptr_array_set_size(daemon->relay.links, 0);
    mux_memory_free(host->memory);
    g_strfreev(host->options);
}

// GLib neither breaks lines nor indents them: the spaces are as wide as "  --vm=NAME=PORT[,…]" and
// what it puts behind that, the longest of all options.
#define UNDER_VM "\n                         "

int main(int argc, char **argv)
{
    static const char *const keys[] = {"vms", "vm_patterns", "shares", "run", NULL};
    Host host = {0};
    const GOptionEntry options[] = {
        {"vm", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &host.options,
         "A VM and its port; may be repeated. PORT is unix:PATH, QEMU's chardev" UNDER_VM
         "socket, or listen:PATH, to wait for QEMU. Behind it: qmp=unix:PATH, its" UNDER_VM
         "QMP; shm-out=PATH, shm-in=PATH, files that it has as shared memory",
         "NAME=PORT[,…]"},
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
