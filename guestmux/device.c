// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A device is the file that was opened, not its path: at the same address another one may be
// plugged later. What is mapped here is unmapped at once, and is copied byte by byte: the host may
// change it meanwhile, and what reads from a BAR is not memcpy()'s business.

#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// The file system as process 1 sees it.
#define OTHER_ROOT "/proc/1/root"

// Each network namespace has a /sys of its own, with files of its own.
static void open_other(MuxDevice *device)
{
    g_autofree char *path = g_strconcat(OTHER_ROOT, device->path, NULL);
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    device->sure = fd >= 0 && fstat(fd, &status) == 0 && status.st_ino == device->inode;
    if (device->sure && status.st_dev != device->device)
        device->other = fd;
    else if (fd >= 0)
        close(fd);
}

int mux_device_new(const char *name, const char *path, bool pci, MuxDevice **ret_device)
{
    struct stat status;
    // A folder's file may be a FIFO, at which opening would wait.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    MuxDevice *device = g_new0(MuxDevice, 1);
    device->name = g_strdup(name);
    device->path = g_strdup(path);
    device->fd = fd;
    device->other = -1;
    device->size = (uint64_t)status.st_size;
    device->device = status.st_dev;
    device->inode = status.st_ino;
    device->pci = pci;
    if (pci)
        open_other(device);
    *ret_device = device;
    return 0;
}

MuxDevice *mux_device_free(MuxDevice *device)
{
    if (!device)
        return NULL;
    close(device->fd);
    if (device->other >= 0)
        close(device->other);
    g_free(device->name);
    g_free(device->path);
    g_free(device);
    return NULL;
}

bool mux_device_is_there(const MuxDevice *device)
{
    struct stat status;

    return stat(device->path, &status) == 0 && status.st_dev == device->device &&
           status.st_ino == device->inode;
}

// The kernel gives a lease for writing only when nobody else has the file open, in whatever way,
// which no look at processes can show: they come and go meanwhile, and move what they have mapped.
// It is given back at once; who opens the file in between waits so long, and we are sent SIGIO,
// which daemon.c ignores.
static int try_lease(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        return errno == EAGAIN ? 0 : -errno;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return 1;
}

// The file beside it, resource2_wc, shows the same memory. Only root can open that, so it is enough
// to look while it is there.
static int try_lease_beside(const MuxDevice *device)
{
    const char *root = device->other >= 0 ? OTHER_ROOT : "";
    g_autofree char *path = g_strconcat(root, device->path, "_wc", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? 1 : try_lease(fd);

    if (fd >= 0)
        close(fd);
    return r;
}

int mux_device_is_alone(const MuxDevice *device)
{
    if (!device->pci)
        return -EOPNOTSUPP;
    int r = try_lease(device->fd);
    if (r == 1)
        r = try_lease_beside(device);
    if (r == 1 && device->other >= 0)
        r = try_lease(device->other);
    return r == 1 && !device->sure ? -ENODATA : r;
}

// In the unit's sandbox /sys is read-only, since whoever writes there can do anything by some
// device. In the view of the file system that process 1 has it is not; only who may look into other
// processes gets there, which the handlers may not.
static int open_outside(const MuxDevice *device)
{
    g_autofree char *path = g_strconcat(OTHER_ROOT, device->path, NULL);
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) == 0 && status.st_ino == device->inode)
        return fd;
    close(fd);
    return -ENODEV;
}

int mux_device_open(const MuxDevice *device, bool write)
{
    char path[32];

    // Not by its path, see above.
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", device->fd);
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return errno == EROFS && device->pci ? open_outside(device) : -errno;
}

// Maps the first page; NULL, with a negative errno.
static volatile uint8_t *map_page(const MuxDevice *device, bool write, int *ret_error)
{
    int protection = PROT_READ | (write ? PROT_WRITE : 0);
    int fd = write ? mux_device_open(device, true) : device->fd;

    if (fd < 0) {
        *ret_error = fd;
        return NULL;
    }
    void *page = mmap(NULL, (size_t)getpagesize(), protection, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        *ret_error = -errno;
        page = NULL;
    }
    if (write)
        close(fd);
    return page;
}

static bool is_within_page(const MuxDevice *device, size_t offset, size_t size)
{
    size_t page = (size_t)getpagesize();

    return device->size >= page && offset <= page && size <= page - offset;
}

int mux_device_read(const MuxDevice *device, size_t offset, void *to, size_t size)
{
    int error = -EINVAL;
    volatile uint8_t *page =
        is_within_page(device, offset, size) ? map_page(device, false, &error) : NULL;

    if (!page)
        return error;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = page[offset + i];
    (void)munmap((void *)page, (size_t)getpagesize());
    return 0;
}

int mux_device_write(const MuxDevice *device, size_t offset, const void *from, size_t size)
{
    int error = -EINVAL;
    volatile uint8_t *page =
        is_within_page(device, offset, size) ? map_page(device, true, &error) : NULL;

    if (!page)
        return error;
    for (size_t i = 0; i < size; i++)
        page[offset + i] = ((const uint8_t *)from)[i];
    (void)munmap((void *)page, (size_t)getpagesize());
    return 0;
}
