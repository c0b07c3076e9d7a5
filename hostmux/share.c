// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A named buffer of one VM and its device. A program here asked for it, or one in the guest; either
// way it is made here, and ready when the guest has proved its device. It ends with the table's
// entry (relay/buffers.h) and the device, whichever comes last.

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keep.h"
#include "memory-private.h"
#include "relay/json.h"
#include "relay/link-session.h"

MuxShare *mux_share_new(MuxVm *vm, MuxBuffer *buffer)
{
    MuxShare *share = g_new0(MuxShare, 1);

    share->vm = vm;
    share->buffer = buffer;
    buffer->memory = share;
    mux_say_init(&share->say, mux_share_line);
    return share;
}

void mux_share_unmake(MuxShare *share)
{
    MuxBuffer *buffer = share->buffer;

    buffer->memory = NULL;
    mux_spread_leave(share);
    mux_list_remove(&share->say.node);
    if (share->device)
        share->device->events = NULL;
    g_free(share);
}

static void share_done(MuxShare *share)
{
    MuxBuffer *buffer = share->buffer;

    if (!share->idle || share->device)
        return;
    mux_share_unmake(share);
    mux_buffer_free(buffer);
}

// --- what becomes of its device

void mux_share_show(const MuxShare *share)
{
    MuxNodes *nodes = share->vm->memory->nodes;
    MuxBuffer *buffer = share->buffer;

    mux_nodes_add(nodes, share->vm->link->name, buffer->name, share->device->facts.fd);
    g_free(buffer->node_path);
    buffer->node_path = mux_nodes_path(nodes, share->vm->link->name, buffer->name);
}

static void on_proved(MuxDevice *device)
{
    MuxShare *share = device->user;
    const MuxBuffer *buffer = share->buffer;

    if (buffer->state != MUX_BUFFER_MAKING)
        return;
    // Other VMs prove theirs with the same memory, so that is before anybody has it.
    if (share->source)
        mux_spread_proved(share);
    else if (!mux_spread_start(share))
        mux_share_publish(share);
}

void mux_share_publish(MuxShare *share)
{
    MuxBuffer *buffer = share->buffer;
    int fd = share->device->facts.fd;

    if (!buffer->from && !share->source)
        (void)fchmod(fd, 0600); // each QEMU has opened it
    mux_share_show(share);
    mux_keep_put(share->vm->memory->keep, buffer, fd);
    mux_say(share->vm, &share->say);
    mux_buffer_ready(buffer);
}

static void forget(MuxShare *share)
{
    MuxBuffer *buffer = share->buffer;

    mux_nodes_remove(share->vm->memory->nodes, share->vm->link->name, buffer->name,
                     share->device ? share->device->facts.fd : -1);
    g_clear_pointer(&buffer->node_path, g_free);
    mux_keep_drop(share->vm->memory->keep, buffer->id);
}

static void on_failed(MuxDevice *device, const char *code, const char *why)
{
    MuxShare *share = device->user;
    MuxBuffer *buffer = share->buffer;
    MuxVm *vm = share->vm;

    forget(share);
    share->device = NULL;
    mux_spread_end(share, strcmp(code, "link-down") == 0 ? "link-down" : "reset");
    if (buffer->state == MUX_BUFFER_READY) {
        mux_buffer_gone(buffer, strcmp(code, "link-down") == 0 ? code : "reset");
        return; // idle() follows
    }
    mux_link_log(vm->link, G_LOG_LEVEL_WARNING, "no buffer '%s': %s", buffer->name, why);
    if (share->asked)
        (void)mux_say_error(vm, share->request, code, why);
    bool making = buffer->state == MUX_BUFFER_MAKING;
    if (making) {
        mux_share_unmake(share);
        mux_buffer_fail(buffer, code, why);
    } else {
        share_done(share);
    }
}

static void on_held(MuxDevice *device)
{
    const MuxShare *share = device->user;
    mux_buffer_held(share->buffer);
}

static void on_ended(MuxDevice *device)
{
    MuxShare *share = device->user;

    share->device = NULL;
    share_done(share);
}

const MuxDeviceEvents mux_share_events = {on_proved, on_failed, on_held, on_ended};

// --- its life here

void mux_share_changed(MuxShare *share)
{
    mux_keep_change(share->vm->memory->keep);
    mux_say(share->vm, &share->say);
    mux_spread_changed(share);
}

void mux_share_told(MuxShare *share)
{
    mux_say(share->vm, &share->say);
}

void mux_share_gone(MuxShare *share, const char *reason)
{
    mux_buffer_gone(share->buffer, reason);
    mux_share_end(share, reason);
}

void mux_share_set(MuxBuffer *buffer, json_object *changes)
{
    MuxShare *share = buffer->memory;

    (void)changes; // the line has all of them
    if (!share || buffer->state != MUX_BUFFER_READY)
        return;
    mux_share_changed(share);
}

void mux_share_end(MuxShare *share, const char *reason)
{
    forget(share);
    mux_spread_end(share, reason);
    if (share->device)
        mux_device_end(share->device, reason); // which may free the share
    else
        share_done(share);
}

void mux_share_release(MuxBuffer *buffer, const char *reason)
{
    MuxShare *share = buffer->memory;

    if (!share)
        return;
    share->asked = false;
    // A constant: the text is the table's, and may be gone before it is said.
    mux_share_end(share, strcmp(reason, "owner") == 0 ? "owner" : "released");
}

void mux_share_idle(MuxBuffer *buffer)
{
    MuxShare *share = buffer->memory;

    if (!share) {
        mux_buffer_free(buffer);
        return;
    }
    share->idle = true;
    share_done(share);
}

int mux_share_memory(MuxBuffer *buffer, bool write)
{
    const MuxShare *share = buffer->memory;
    char path[32];

    if (!share || !share->device)
        return -ENODEV;
    (void)g_snprintf(path, sizeof(path), "/proc/self/fd/%d", share->device->facts.fd);
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd;
}

void mux_share_noticed(MuxBuffer *buffer, uint64_t offset, uint64_t length)
{
    if (buffer->memory)
        mux_spread_noticed(buffer->memory, offset, length);
}

void mux_share_free(MuxBuffer *buffer)
{
    MuxShare *share = buffer->memory;

    if (!share)
        return;
    mux_spread_end(share, "link-down");
    forget(share);
    mux_share_unmake(share);
}

void mux_share_bereave(MuxVm *vm)
{
    for (MuxBuffer *b = mux_buffers_next(vm->link, NULL), *next; b; b = next) {
        MuxShare *share = b->memory;
        next = mux_buffers_next(vm->link, b);
        if (!share || b->state != MUX_BUFFER_READY || strcmp(b->owner, "guest") != 0)
            continue;
        mux_buffer_gone(b, "reset");
        mux_share_end(share, "reset");
    }
}
