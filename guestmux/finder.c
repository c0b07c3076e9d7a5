// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// libudev tells of devices of the subsystem "virtio-ports"; each has an attribute "name". Events
// come from udevd when it runs, since it is done with the node's permissions then, and otherwise
// from the kernel (an initramfs, an appliance without udevd). The name is set by a control message
// that may come after the device, so a "change" counts as an "add".

#include "finder.h"
#include "relay/sources.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <libudev.h>
#include <string.h>

#define SUBSYSTEM "virtio-ports"

struct MuxFinder {
    struct udev *udev;
    struct udev_monitor *monitor;
    char *name;
    MuxPort *port;
    char *path; // of the device that was found, or NULL
    guint source;
};

static void found(MuxFinder *finder, struct udev_device *device)
{
    const char *name = udev_device_get_sysattr_value(device, "name");
    const char *node = udev_device_get_devnode(device);

    if (finder->path || !node || g_strcmp0(name, finder->name) != 0)
        return;
    finder->path = g_strdup(node);
    g_info("port '%s' is %s", finder->name, node);
    mux_port_set_device(finder->port, node);
}

static void enumerate(MuxFinder *finder)
{
    struct udev_enumerate *all = udev_enumerate_new(finder->udev);
    struct udev_list_entry *entry;

    udev_enumerate_add_match_subsystem(all, SUBSYSTEM);
    udev_enumerate_scan_devices(all);
    udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(all))
    {
        const char *path = udev_list_entry_get_name(entry);
        struct udev_device *device = udev_device_new_from_syspath(finder->udev, path);
        if (device)
            found(finder, device);
        udev_device_unref(device);
    }
    udev_enumerate_unref(all);
}

static void lost(MuxFinder *finder, struct udev_device *device)
{
    if (g_strcmp0(udev_device_get_devnode(device), finder->path) != 0)
        return;
    g_info("port '%s' was unplugged", finder->name);
    g_clear_pointer(&finder->path, g_free);
    mux_port_set_device(finder->port, NULL);
    enumerate(finder);
}

static gboolean on_monitor(gint fd, GIOCondition condition, gpointer user)
{
    MuxFinder *finder = user;
    struct udev_device *device;

    (void)fd;
    (void)condition;
    while ((device = udev_monitor_receive_device(finder->monitor))) {
        const char *action = udev_device_get_action(device);
        if (g_strcmp0(action, "remove") == 0)
            lost(finder, device);
        else
            found(finder, device);
        udev_device_unref(device);
    }
    return G_SOURCE_CONTINUE;
}

static bool start_monitor(MuxFinder *finder)
{
    bool udevd = g_file_test("/run/udev/control", G_FILE_TEST_EXISTS);

    finder->monitor = udev_monitor_new_from_netlink(finder->udev, udevd ? "udev" : "kernel");
    if (!finder->monitor ||
        udev_monitor_filter_add_match_subsystem_devtype(finder->monitor, SUBSYSTEM, NULL) < 0 ||
        udev_monitor_enable_receiving(finder->monitor) < 0)
        return false;
    finder->source = mux_source_readable(udev_monitor_get_fd(finder->monitor), on_monitor, finder);
    return true;
}

MuxFinder *mux_finder_new(const char *name, MuxPort *port, GError **error)
{
    MuxFinder *finder = g_new0(MuxFinder, 1);

    finder->name = g_strdup(name);
    finder->port = port;
    finder->udev = udev_new();
    // Listening before looking: what is plugged in between is seen twice rather than never.
    if (!finder->udev || !start_monitor(finder)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot listen for devices with libudev; name the device with --port instead");
        return mux_finder_free(finder);
    }
    enumerate(finder);
    if (!finder->path)
        g_message("no virtio-serial port named '%s' yet; waiting for it", finder->name);
    return finder;
}

MuxFinder *mux_finder_free(MuxFinder *finder)
{
    if (!finder)
        return NULL;
    if (finder->source)
        g_source_remove(finder->source);
    if (finder->monitor)
        udev_monitor_unref(finder->monitor);
    if (finder->udev)
        udev_unref(finder->udev);
    g_free(finder->path);
    g_free(finder->name);
    g_free(finder);
    return NULL;
}
