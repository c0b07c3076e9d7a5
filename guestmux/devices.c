// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Nothing is kept of what is plugged: whoever looks for a device looks at those that are there now.
// Only to be told when to look again, libudev is listened to, or the folder watched. The kernel
// says "add" before a device's resource2 is there, and nothing when it is, so who waits for a
// device has to look again by himself.
//
// A device that is not ours is read, never written. Which one is ours is what the host says of the
// first bytes; the sizes differ little, and nothing else about them does.

#include "devices.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <libudev.h>
#include <string.h>

#include "pci-path.h"
#include "relay/sources.h"
#include "relay/watcher.h"

#define SUBSYSTEM "pci"
#define VENDOR    "0x1af4"
#define IVSHMEM   "0x1110"

#define FILES_MOST 512 // of the folder
#define GONE_MOST  256 // of its files that are remembered
#define KEPT_MOST  256 // devices that were let go, and that somebody has

// Which file it was.
typedef struct Gone {
    dev_t device;
    ino_t inode;
} Gone;

struct MuxDevices {
    struct udev *udev;
    struct udev_monitor *monitor;
    guint source;
    char *folder; // or NULL
    MuxWatcher *watcher;
    GArray *gone;    // of Gone, in the folder; the oldest first
    GPtrArray *kept; // of MuxDevice; the oldest first
    void (*changed)(void *user);
    void *user;
};

// What is looked for, and what was found on the way.
typedef struct Look {
    uint64_t size;
    const uint8_t *mark;
    const char *name; // or that one, whatever is in it
    MuxDevice *found;
    int error;     // why one of that size cannot be read
    char *without; // a device that has no memory
    unsigned others;
} Look;

// --- looking

static bool is_it(Look *look, const MuxDevice *device)
{
    uint8_t mark[MUX_MARK_SIZE];

    if (look->name)
        return strcmp(device->name, look->name) == 0;
    if (!look->mark || device->size != look->size)
        return false;
    int r = mux_device_read(device, 0, mark, sizeof(mark));
    if (r < 0)
        look->error = r;
    return r == 0 && memcmp(mark, look->mark, sizeof(mark)) == 0;
}

static void look_at(Look *look, const char *name, const char *path, bool pci)
{
    MuxDevice *device = NULL;
    int r = look->found ? -EALREADY : mux_device_new(name, path, pci, &device);

    if (r == -ENOENT && pci && !look->without)
        look->without = g_strdup(name);
    if (r < 0)
        return;
    look->others++;
    if (is_it(look, device))
        look->found = device;
    else
        mux_device_free(device);
}

static void look_in_folder(const MuxDevices *devices, Look *look)
{
    g_autoptr(GDir) folder = g_dir_open(devices->folder, 0, NULL);
    const char *name;

    for (int i = 0; folder && i < FILES_MOST && (name = g_dir_read_name(folder)); i++) {
        g_autofree char *path = g_build_filename(devices->folder, name, NULL);
        if (name[0] != '.')
            look_at(look, name, path, false);
    }
}

static void look_in_sysfs(const MuxDevices *devices, Look *look)
{
    struct udev_enumerate *all = udev_enumerate_new(devices->udev);
    struct udev_list_entry *entry;

    udev_enumerate_add_match_subsystem(all, SUBSYSTEM);
    udev_enumerate_add_match_sysattr(all, "vendor", VENDOR);
    udev_enumerate_add_match_sysattr(all, "device", IVSHMEM);
    udev_enumerate_scan_devices(all);
    udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(all))
    {
        const char *folder = udev_list_entry_get_name(entry);
        g_autofree char *name = g_path_get_basename(folder);
        g_autofree char *path = g_build_filename(folder, MUX_PCI_MEMORY, NULL);
        look_at(look, name, path, true);
    }
    udev_enumerate_unref(all);
}

static void look_around(const MuxDevices *devices, Look *look)
{
    if (devices->folder)
        look_in_folder(devices, look);
    else
        look_in_sysfs(devices, look);
}

static void say_why_not(const Look *look, GError **error)
{
    if (look->error == -EPERM)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "the kernel does not let memory of devices be mapped: it is locked down "
                    "(Secure Boot, or lockdown= on its command line)");
    else if (look->error < 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "a device of that size cannot be mapped: %s", g_strerror(-look->error));
    else if (look->without)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "device %s has no memory in the guest: the window of the bridge above it is "
                    "too small (pref64-reserve=)",
                    look->without);
    else
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "none of the %u ivshmem devices in the guest is the one", look->others);
}

// One of ours is enough: each counts as somebody who has it.
static void forget_kept(MuxDevices *devices, const MuxDevice *found)
{
    for (guint i = devices->kept->len; found && i-- > 0;) {
        const MuxDevice *device = g_ptr_array_index(devices->kept, i);
        if (device->inode == found->inode)
            g_ptr_array_remove_index(devices->kept, i);
    }
}

MuxDevice *mux_devices_find(MuxDevices *devices, uint64_t size, const uint8_t *mark, GError **error)
{
    Look look = {.size = size, .mark = mark};

    look_around(devices, &look);
    if (!look.found)
        say_why_not(&look, error);
    forget_kept(devices, look.found);
    g_free(look.without);
    return look.found;
}

MuxDevice *mux_devices_at(MuxDevices *devices, const char *name)
{
    Look look = {.name = name};

    look_around(devices, &look);
    forget_kept(devices, look.found);
    g_free(look.without);
    return look.found;
}

// --- which one a mapping shows

bool mux_device_is(const MuxDevice *device, const char *path, dev_t dev, ino_t inode)
{
    if (!device->pci)
        return dev == device->device && inode == device->inode;
    return mux_pci_path_shows(path, inode, device->path, device->inode);
}

bool mux_devices_is_unplugged(const MuxDevices *devices, const char *path, dev_t device,
                              ino_t inode)
{
    if (!devices->folder)
        return mux_pci_path_is_unplugged(path, inode);
    for (guint i = 0; i < devices->gone->len; i++) {
        const Gone *gone = &g_array_index(devices->gone, Gone, i);
        if (gone->device == device && gone->inode == inode)
            return true;
    }
    return false;
}

void mux_devices_gone(MuxDevices *devices, const MuxDevice *device)
{
    Gone gone = {device->device, device->inode};

    if (device->pci)
        return; // the inode says it
    if (devices->gone->len == GONE_MOST)
        g_array_remove_index(devices->gone, 0);
    g_array_append_val(devices->gone, gone);
}

static void free_kept(gpointer device)
{
    mux_device_free(device);
}

void mux_devices_let_go(MuxDevices *devices, MuxDevice *device)
{
    if (!device || mux_device_is_alone(device) != 0) {
        mux_device_free(device);
        return;
    }
    if (devices->kept->len == KEPT_MOST)
        g_ptr_array_remove_index(devices->kept, 0);
    g_ptr_array_add(devices->kept, device);
}

bool mux_devices_are_held(MuxDevices *devices)
{
    bool held = false;

    for (guint i = devices->kept->len; i-- > 0;) {
        const MuxDevice *device = g_ptr_array_index(devices->kept, i);
        if (mux_device_is_alone(device) != 0)
            g_ptr_array_remove_index(devices->kept, i);
        else if (!mux_device_is_there(device))
            held = true;
    }
    return held;
}

// --- word of changes

static gboolean on_monitor(gint fd, GIOCondition condition, gpointer user)
{
    MuxDevices *devices = user;
    struct udev_device *device;
    bool any = false;

    (void)fd;
    (void)condition;
    while ((device = udev_monitor_receive_device(devices->monitor))) {
        udev_device_unref(device);
        any = true;
    }
    if (any)
        devices->changed(devices->user);
    return G_SOURCE_CONTINUE;
}

static bool start_monitor(MuxDevices *devices)
{
    bool udevd = g_file_test("/run/udev/control", G_FILE_TEST_EXISTS);

    devices->udev = udev_new();
    if (!devices->udev)
        return false;
    devices->monitor = udev_monitor_new_from_netlink(devices->udev, udevd ? "udev" : "kernel");
    if (!devices->monitor ||
        udev_monitor_filter_add_match_subsystem_devtype(devices->monitor, SUBSYSTEM, NULL) < 0 ||
        udev_monitor_enable_receiving(devices->monitor) < 0)
        return false;
    devices->source =
        mux_source_readable(udev_monitor_get_fd(devices->monitor), on_monitor, devices);
    return true;
}

static void watch_folder(MuxDevices *devices, MuxLoop *loop, const char *folder)
{
    const char *const folders[] = {folder, NULL};

    devices->folder = g_strdup(folder);
    devices->watcher = mux_watcher_new(loop, devices->changed, devices->user);
    mux_watcher_set(devices->watcher, folders);
}

MuxDevices *mux_devices_new(MuxLoop *loop, const char *folder, void (*changed)(void *user),
                            void *user, GError **error)
{
    MuxDevices *devices = g_new0(MuxDevices, 1);

    devices->changed = changed;
    devices->user = user;
    devices->gone = g_array_new(false, false, sizeof(Gone));
    devices->kept = g_ptr_array_new_with_free_func(free_kept);
    if (folder) {
        watch_folder(devices, loop, folder);
        return devices;
    }
    if (start_monitor(devices))
        return devices;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot listen for devices with libudev");
    return mux_devices_free(devices);
}

MuxDevices *mux_devices_free(MuxDevices *devices)
{
    if (!devices)
        return NULL;
    if (devices->source)
        g_source_remove(devices->source);
    if (devices->monitor)
        udev_monitor_unref(devices->monitor);
    if (devices->udev)
        udev_unref(devices->udev);
    mux_watcher_free(devices->watcher);
    g_array_unref(devices->gone);
    g_ptr_array_unref(devices->kept);
    g_free(devices->folder);
    g_free(devices);
    return NULL;
}
