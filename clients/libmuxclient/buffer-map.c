// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Mapping what the daemon hands out. What counts is what the descriptor is, not what was said of
// it: memory that is mapped beyond a file's end is SIGBUS for who touches it. In a guest it is a
// PCI device's resource file, on a host a memfd which is sealed, or somebody's shared memory
// object, which is not.

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "buffer.h"

// Whether the file has so many bytes, and can be read, and written if it is to be.
static int check(int fd, uint64_t size, bool writable)
{
    struct stat file;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &file) < 0)
        return -errno;
    if (!S_ISREG(file.st_mode) || file.st_size < 0 || size > (uint64_t)file.st_size)
        return -EPROTO;
    int access = flags & O_ACCMODE;
    if ((flags & O_PATH) || (access != O_RDWR && (writable || access != O_RDONLY)))
        return -EPROTO;
    return size == 0 ? -EPROTO : size > PTRDIFF_MAX ? -EFBIG : 0;
}

static bool can_shrink(int fd)
{
    struct statfs system;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals >= 0)
        return !(seals & F_SEAL_SHRINK);
    return fstatfs(fd, &system) < 0 || system.f_type != SYSFS_MAGIC;
}

static int map(MuxClientBuffer *buffer, int fd, uint64_t size, bool writable)
{
    int r = check(fd, size, writable);

    if (r < 0)
        return r;
    void *memory =
        mmap(NULL, (size_t)size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    buffer->memory = memory;
    buffer->size = (size_t)size;
    buffer->writable = writable;
    buffer->can_shrink = can_shrink(fd);
    return 0;
}

// On a host a name has a VM before it; the connection's first answer does not say where we are.
static int describe(MuxClientBuffer *buffer, MuxClientJson answer, const char *name)
{
    return mux_client_buffer_box_fill(&buffer->box, mux_client_json_get(answer, "buffer"),
                                      strchr(name, '/'));
}

int mux_client_buffer_map(MuxClientBuffer *buffer, MuxClientJson answer, const char *name)
{
    MuxClientJson writable = mux_client_json_get(mux_client_json_get(answer, "buffer"), "writable");
    bool cut = buffer->lines.cut;
    int fd = mux_client_lines_take(&buffer->lines);
    int r = describe(buffer, answer, name);

    if (r == 0 && fd < 0)
        r = cut ? -EMFILE : -EPROTO;
    if (r == 0)
        r = map(buffer, fd, buffer->box.info.size, mux_client_json_is_true(writable));
    if (fd >= 0)
        (void)close(fd);
    return r;
}
