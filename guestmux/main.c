// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// guestmux, the daemon in the guest: one link, to the host, over the port that has our name.

#include <stddef.h>

#include "finder.h"
#include "memory.h"
#include "relay/daemon.h"
#include "relay/json.h"
#include "relay/link.h"

#define PORT_NAME "org.guestmux.0"

typedef struct Guest {
    char *port_name, *port; // options
    MuxFinder *finder;
} Guest;

// Without devices all else works.
static void share_memory(MuxRelay *relay, const char *devices)
{
    g_autoptr(GError) error = NULL;

    if (!mux_memory_new(relay, devices, &error))
        g_warning("no memory is shared: %s", error->message);
}

static bool configure(MuxDaemon *daemon, json_object *config, GError **error)
{
    Guest *guest = daemon->user;
    const char *port_name = NULL, *port = NULL, *devices = NULL;

    if (!mux_json_string(config, "port-name", &port_name, error) ||
        !mux_json_string(config, "port", &port, error) ||
        !mux_json_string(config, "devices", &devices, error))
        return false;
    if (daemon->relay.links->len > 0)
        return true; // the port is not changed while channels run over it

    port = guest->port ? guest->port : port;
    port_name = guest->port_name ? guest->port_name : port_name ? port_name : PORT_NAME;
    MuxLink *link = mux_link_new(&daemon->relay, "host", port, error);
    if (!link)
        return false;
    g_ptr_array_add(daemon->relay.links, link);
    share_memory(&daemon->relay, devices); // which ends with the link
    if (!port)
        guest->finder = mux_finder_new(port_name, link->port, error);
    return port || guest->finder;
}

static void finish(MuxDaemon *daemon)
{
    Guest *guest = daemon->user;

    mux_finder_free(guest->finder);
    g_free(guest->port_name);
    g_free(guest->port);
}

int main(int argc, char **argv)
{
    static const char *const keys[] = {"port-name", "port", "devices", NULL};
    Guest guest = {0};
    const GOptionEntry options[] = {
        {"port-name", 0, 0, G_OPTION_ARG_STRING, &guest.port_name,
         "The virtio-serial port's name (default " PORT_NAME ")", "NAME"},
        {"port", 0, 0, G_OPTION_ARG_FILENAME, &guest.port,
         "Use this device, or connect to this socket, instead", "PATH|unix:PATH"},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    const MuxDaemonKind kind = {
        .name = "guestmux",
        .summary = "Carries named channels between this virtual machine and its host.",
        .role = MUX_GUEST,
        .socket = "/run/guestmux.sock",
        .config = "/etc/guestmux/guestmux.json",
        .services = "/etc/guestmux/services",
        .options = options,
        .keys = keys,
        .configure = configure,
        .finish = finish,
    };

    return mux_daemon_run(&kind, &guest, argc, argv);
}
