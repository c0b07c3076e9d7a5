// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How a named buffer comes to be: its memory is new, or an object that is there already, or another
// VM's, or what an earlier hostmux had.

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keep.h"
#include "memory-private.h"

// The memory of an object that is there already: it must be such that QEMU can live with it. A
// negative errno, or -ERANGE when it has the wrong size.
static int open_object(const char *name, uint64_t *ret_size)
{
    struct stat st;
    int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)MUX_BUFFER_LEAST &&
        (st.st_size & (st.st_size - 1)) == 0) {
        *ret_size = (uint64_t)st.st_size;
        return fd;
    }
    close(fd);
    return -ERANGE;
}

static int get_memory(MuxBuffer *buffer, MuxBufferError *ret_error)
{
    uint64_t size = 0;
    int fd = buffer->from ? open_object(buffer->from, &size) : mux_memfd_new(buffer->size);

    if (fd >= 0 && buffer->from && !mux_buffer_set_size(buffer, size, ret_error)) {
        close(fd);
        return -1;
    }
    if (fd == -ERANGE)
        *ret_error = (MuxBufferError){"bad-size", "its size is no power of two of 1 MiB or more"};
    else if (fd < 0 && buffer->from)
        (void)mux_buffer_error(
            ret_error, "failed",
            "'%.100s' as a shared memory object: %s (it is \"/name\", as in /dev/shm)",
            buffer->from, g_strerror(-fd));
    else if (fd < 0)
        *ret_error = (MuxBufferError){"failed", "there is no memory or descriptor left"};
    return fd;
}

// Why it cannot be made now. What was left by buffers that are gone counts, while a program in the
// guest holds it.
static bool is_possible(MuxVm *vm, const MuxBuffer *buffer, MuxBufferError *ret_error)
{
    const MuxBufferLimits *limits = &vm->memory->relay->buffers;
    guint count;
    uint64_t bytes;

    mux_devices_count(vm, &count, &bytes);
    if (!vm->qmp)
        *ret_error = (MuxBufferError){
            "no-memory", "hostmux was not told of this VM's QMP (qmp=, see --vm in hostmux(8))"};
    else if (!vm->looked)
        *ret_error = (MuxBufferError){"no-memory", "this VM's QMP is not connected"};
    else if (!vm->begun)
        *ret_error = (MuxBufferError){"no-memory", "the guest does not talk about memory"};
    else if (count >= limits->buffers || bytes + buffer->size > limits->bytes)
        (void)mux_buffer_error(
            ret_error, "limit",
            "this VM may have %u buffers of %" G_GUINT64_FORMAT
            " MiB (\"limits\"); some have ended, and are still mapped in the guest",
            limits->buffers, limits->bytes >> 20);
    else
        return true;
    return false;
}

// False with the reason.
bool mux_share_make(MuxShare *share, MuxBufferError *ret_error)
{
    MuxBuffer *buffer = share->buffer;
    int fd = is_possible(share->vm, buffer, ret_error) ? get_memory(buffer, ret_error) : -1;

    if (fd < 0)
        return false;
    const MuxDeviceFacts facts = {.fd = fd,
                                  .size = buffer->size,
                                  .guest_writes = buffer->guest_writes,
                                  .zero = !buffer->from,
                                  .keeps = buffer->from != NULL,
                                  .buffer = true};
    share->device = mux_device_new(share->vm, &facts, &mux_share_events, share);
    buffer->id = share->device->id;
    return true;
}

MuxShare *mux_share_read(MuxVm *vm, const MuxBufferFacts *facts, MuxShare *source)
{
    MuxBufferError why;
    MuxBuffer *buffer = mux_buffers_add(vm->link, facts, &why);

    if (!buffer)
        return NULL;
    MuxShare *share = mux_share_new(vm, buffer);
    int fd =
        is_possible(vm, buffer, &why) ? fcntl(source->device->facts.fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd < 0) {
        mux_share_unmake(share);
        mux_buffer_free(buffer);
        return NULL;
    }
    const MuxDeviceFacts device = {.fd = fd, .size = buffer->size, .buffer = true};
    share->source = source;
    share->device = mux_device_new(vm, &device, &mux_share_events, share);
    buffer->id = share->device->id;
    return share;
}

void mux_share_create(MuxBuffer *buffer)
{
    MuxBufferError error = {0};
    MuxShare *share = mux_share_new(buffer->link->memory, buffer);

    if (mux_share_make(share, &error))
        return;
    mux_share_unmake(share);
    mux_buffer_fail(buffer, error.code, error.text);
}

bool mux_share_adopt(MuxVm *vm, MuxKept *kept)
{
    bool host_writes = json_object_get_boolean(mux_get(kept->facts, "host_writes"));
    bool guest_writes = json_object_get_boolean(mux_get(kept->facts, "guest_writes"));
    const MuxBufferFacts facts = {.name = mux_text(kept->facts, "name"),
                                  .id = kept->id,
                                  .size = json_object_get_uint64(mux_get(kept->facts, "size")),
                                  .owner = "guest",
                                  .uid = mux_number(kept->facts, "uid"),
                                  .gid = mux_number(kept->facts, "gid"),
                                  .program = mux_text(kept->facts, "program"),
                                  .read_only_for = !host_writes    ? "host"
                                                   : !guest_writes ? "guest"
                                                                   : NULL,
                                  .properties = mux_get(kept->facts, "properties")};
    MuxBufferError error;
    MuxBuffer *buffer = facts.name ? mux_buffers_add(vm->link, &facts, &error) : NULL;
    struct stat st;

    if (!buffer)
        return false;
    if (fstat(kept->fd, &st) < 0 || (uint64_t)st.st_size != buffer->size) {
        mux_buffer_free(buffer);
        return false;
    }
    MuxShare *share = mux_share_new(vm, buffer);
    const MuxDeviceFacts device = {.fd = kept->fd,
                                   .size = buffer->size,
                                   .guest_writes = guest_writes,
                                   .zero = true,
                                   .buffer = true};
    kept->fd = -1;
    share->device = mux_device_adopt(vm, kept->id, &device, &mux_share_events, share);
    mux_share_show(share);
    mux_keep_change(vm->memory->keep);
    mux_buffer_ready(buffer);
    return true;
}
