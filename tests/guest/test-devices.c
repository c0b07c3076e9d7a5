// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Devices, with files that stand for them: which one is found, what is written, what is told. And
// the paths by which PCI devices are mapped.

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestmux/devices.h"
#include "guestmux/pci-path.h"

#define SIZE (1 << 20)

static const uint8_t mark[MUX_MARK_SIZE] = "the right device";
static const uint8_t other[MUX_MARK_SIZE] = "another device.";

typedef struct Fixture {
    char *folder;
    MuxLoop *loop;
    MuxDevices *devices;
    unsigned changes;
} Fixture;

static void on_change(void *user)
{
    ((Fixture *)user)->changes++;
}

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    f->folder = g_dir_make_tmp("mux-devices-XXXXXX", NULL);
    g_assert_no_errno(mux_loop_new(&f->loop));
    f->devices = mux_devices_new(f->loop, f->folder, on_change, f, NULL);
    g_assert_nonnull(f->devices);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", f->folder);

    (void)data;
    mux_devices_free(f->devices);
    mux_loop_free(f->loop);
    g_assert_true(g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL));
    g_free(f->folder);
}

static void plug(const Fixture *f, const char *name, off_t size, const uint8_t *begin)
{
    g_autofree char *path = g_build_filename(f->folder, name, NULL);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    g_assert_no_errno(ftruncate(fd, size));
    g_assert_cmpint(pwrite(fd, begin, MUX_MARK_SIZE, 0), ==, MUX_MARK_SIZE);
    close(fd);
}

static void unplug(const Fixture *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->folder, name, NULL);

    g_assert_no_errno(unlink(path));
}

static void check_none(const Fixture *f, uint64_t size)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(mux_devices_find(f->devices, size, mark, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void test_find(Fixture *f, gconstpointer data)
{
    g_autofree char *fifo = g_build_filename(f->folder, "fifo", NULL);
    g_autofree char *folder = g_build_filename(f->folder, "folder", NULL);

    (void)data;
    check_none(f, SIZE);
    g_assert_no_errno(mkfifo(fifo, 0600)); // it is not waited at
    g_assert_no_errno(mkdir(folder, 0700));
    plug(f, "one", SIZE, other);
    plug(f, "two", (off_t)2 * SIZE, mark); // of another size
    plug(f, ".hidden", SIZE, mark);
    plug(f, "tiny", 64, mark);
    check_none(f, SIZE);
    check_none(f, 64);
    plug(f, "three", SIZE, mark);
    MuxDevice *device = mux_devices_find(f->devices, SIZE, mark, NULL);
    g_assert_cmpstr(device->name, ==, "three");
    mux_device_free(device);
}

static void test_read_and_write(Fixture *f, gconstpointer data)
{
    uint8_t bytes[16] = {0}, page[1];

    (void)data;
    plug(f, "one", SIZE, mark);
    MuxDevice *device = mux_devices_at(f->devices, "one");
    g_assert_no_errno(mux_device_write(device, 32, "0123456789abcdef", 16));
    g_assert_no_errno(mux_device_read(device, 32, bytes, 16));
    g_assert_cmpmem(bytes, 16, "0123456789abcdef", 16);
    g_assert_no_errno(mux_device_read(device, 0, bytes, 16));
    g_assert_cmpmem(bytes, 16, mark, 16);
    g_assert_cmpint(mux_device_read(device, (size_t)getpagesize(), page, 1), ==, -EINVAL);
    g_assert_cmpint(mux_device_read(device, SIZE_MAX, page, 2), ==, -EINVAL);
    mux_device_free(device);
}

// A descriptor is of the device that was found, whatever is at its path by then.
static void test_open(Fixture *f, gconstpointer data)
{
    uint8_t bytes[16];

    (void)data;
    plug(f, "one", SIZE, mark);
    MuxDevice *device = mux_devices_at(f->devices, "one");
    g_assert_true(mux_device_is_there(device));
    plug(f, "new", SIZE, other);
    g_autofree char *from = g_build_filename(f->folder, "new", NULL);
    g_assert_no_errno(rename(from, device->path));
    g_assert_false(mux_device_is_there(device));
    int reader = mux_device_open(device, false), writer = mux_device_open(device, true);
    g_assert_cmpint(fcntl(reader, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    g_assert_cmpint(fcntl(writer, F_GETFL) & O_ACCMODE, ==, O_RDWR);
    g_assert_cmpint(fcntl(writer, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(pread(writer, bytes, 16, 0), ==, 16);
    g_assert_cmpmem(bytes, 16, mark, 16);
    close(reader);
    close(writer);
    mux_device_free(device);
    g_assert_null(mux_devices_at(f->devices, "two"));
}

static gboolean on_time(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

static void wait_for_change(const Fixture *f, unsigned changes)
{
    bool over = false;
    guint timer = g_timeout_add_seconds(5, on_time, &over);

    while (!over && f->changes < changes)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(f->changes, ==, changes);
    g_source_remove(timer);
}

static void test_changes(Fixture *f, gconstpointer data)
{
    (void)data;
    plug(f, "one", SIZE, mark);
    wait_for_change(f, 1);
    unplug(f, "one");
    wait_for_change(f, 2);
}

// Of files, those that the daemon had are remembered.
static void test_unplugged_files(Fixture *f, gconstpointer data)
{
    (void)data;
    plug(f, "one", SIZE, mark);
    MuxDevice *device = mux_devices_at(f->devices, "one");
    const dev_t dev = device->device;
    const ino_t inode = device->inode;
    g_assert_true(mux_device_is(device, "any path", dev, inode));
    g_assert_false(mux_device_is(device, device->path, dev, inode + 1));
    g_assert_false(mux_devices_is_unplugged(f->devices, device->path, dev, inode));
    mux_devices_gone(f->devices, device);
    g_assert_true(mux_devices_is_unplugged(f->devices, "any path", dev, inode));
    g_assert_false(mux_devices_is_unplugged(f->devices, device->path, dev, inode + 1));
    mux_device_free(device);
}

static void test_pci_paths(void)
{
    static const char *const good[] = {
        "/sys/devices/pci0000:00/0000:00:03.0/resource2",
        "/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/resource2_wc",
        "/devices/pci10000:e0/10000:e0:1f.7/resource0",
        "0000:00:03.0/resource5",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2 (deleted)",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2_wc (deleted)",
    };
    static const char *const bad[] = {
        "",
        "/",
        "resource2",
        "/resource2",
        "/sys/devices/pci0000:00/0000:00:03.0/resource",
        "/sys/devices/pci0000:00/0000:00:03.0/resource6",
        "/sys/devices/pci0000:00/0000:00:03.0/resource22",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2_wcx",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2 (other)",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2 (deleted) ",
        "/sys/devices/pci0000:00/0000:00:03.0/resource2/x",
        "/sys/devices/pci0000:00/resource2",
        "/home/../resource2",
        "/0000:00:03.0 (deleted)/resource2",
        "/0000000000000000000000000000000000000000:00:03.0/resource2",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(mux_pci_path_matters(good[i]));
        g_assert_true(mux_pci_path_is_unplugged(good[i], 1));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(mux_pci_path_matters(bad[i]));
        g_assert_false(mux_pci_path_is_unplugged(bad[i], 1));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/devices/find", test_find},
        {"/devices/read-and-write", test_read_and_write},
        {"/devices/open", test_open},
        {"/devices/changes", test_changes},
        {"/devices/unplugged-files", test_unplugged_files},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].fn, tear_down);
    g_test_add_func("/devices/pci-paths", test_pci_paths);
    return g_test_run();
}
