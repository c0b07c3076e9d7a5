// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One device. Those of a VM are plugged one after the other: two at once would choose the same root
// port. Before each the guest says that nobody maps what was unplugged before, since such a mapping
// would show what comes next.
//
// Who wanted the device has a pointer to it while `events` is set. A device that is nobody's any
// more lives on until QEMU does not have it: it counts against the limits, and is not used again.

#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/link-session.h"
#include "relay/sources.h"

#define GUEST_TIME_MS 20000 // the guest itself gives up after 5 s

static void set_timer(MuxDevice *device, guint ms, GSourceFunc fn)
{
    if (device->timer)
        g_source_remove(device->timer);
    device->timer = ms ? mux_source_timeout(ms, fn, device) : 0;
}

void mux_device_enter(MuxDevice *device, MuxDeviceState state)
{
    MuxVm *vm = device->vm;

    device->state = state;
    set_timer(device, 0, NULL);
    if (vm->plugging == device && state != MUX_DEVICE_ASKING && state != MUX_DEVICE_PLUGGING) {
        vm->plugging = NULL;
        mux_devices_pump(vm);
    }
}

static void device_free(MuxDevice *device)
{
    MuxVm *vm = device->vm;

    set_timer(device, 0, NULL);
    mux_list_remove(&device->node);
    mux_list_remove(&device->say.node);
    mux_plug_free(device->plug);
    if (device->facts.fd >= 0)
        close(device->facts.fd);
    if (vm->plugging == device)
        vm->plugging = NULL;
    g_free(device);
}

static void finish(MuxDevice *device)
{
    MuxVm *vm = device->vm;

    if (device->events)
        device->events->ended(device);
    device_free(device);
    mux_devices_pump(vm);
}

// Its owner has nothing more to do with it.
void mux_device_fail(MuxDevice *device, const char *code, const char *why)
{
    const MuxDeviceEvents *events = device->events;

    device->events = NULL;
    if (events)
        events->failed(device, code, why);
}

static gboolean on_late(gpointer user)
{
    MuxDevice *device = user;

    device->timer = 0;
    mux_device_fail(device, "timeout",
                    device->state == MUX_DEVICE_PLUGGING ? "QEMU did not plug it in time"
                                                         : "the guest did not answer in time");
    mux_device_leave(device);
    return G_SOURCE_REMOVE;
}

// --- plugging

static void ask(MuxDevice *device)
{
    device->vm->plugging = device;
    device->state = MUX_DEVICE_ASKING;
    set_timer(device, GUEST_TIME_MS, on_late);
    mux_say(device->vm, &device->say);
}

// One at a time: on the machine "pc", QEMU tells the guest with each eject of all others that have
// yet to be done, so a slot may be ejected once more, after the next device was plugged into it.
static bool remove_next(MuxVm *vm)
{
    MuxDevice *next = NULL;

    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->state != MUX_DEVICE_UNPLUGGING)
            continue;
        if (device->asked && !device->stuck)
            return true;
        if (!device->asked && !next)
            next = device;
    }
    if (!next)
        return false;
    next->asked = true;
    mux_plug_remove(next->plug);
    return true;
}

void mux_devices_pump(MuxVm *vm)
{
    if (remove_next(vm) || vm->plugging || !vm->begun || !vm->looked)
        return;
    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->state == MUX_DEVICE_WAITING) {
            ask(device);
            return;
        }
    }
}

static void fill(void *bytes, size_t n)
{
    while (getrandom(bytes, n, 0) != (ssize_t)n)
        ;
}

static bool put(const MuxDevice *device, const void *bytes, size_t n, off_t at)
{
    return pwrite(device->facts.fd, bytes, n, at) == (ssize_t)n;
}

void mux_device_unmark(const MuxDevice *device)
{
    (void)put(device, device->was, sizeof(device->was), 0);
}

static void start_proof(MuxDevice *device)
{
    static const guint8 nothing[sizeof(device->was)];

    mux_device_enter(device, MUX_DEVICE_PROVING);
    fill(device->mark, sizeof(device->mark));
    fill(device->proof, sizeof(device->proof));
    if (!device->facts.keeps ||
        pread(device->facts.fd, device->was, sizeof(device->was), 0) != sizeof(device->was))
        memset(device->was, 0, sizeof(device->was));
    if (!put(device, nothing, sizeof(nothing), 0) ||
        !put(device, device->proof, sizeof(device->proof), sizeof(device->mark)) ||
        !put(device, device->mark, sizeof(device->mark), 0)) {
        mux_device_fail(device, "failed", "the memory cannot be written");
        mux_device_leave(device);
        return;
    }
    set_timer(device, GUEST_TIME_MS, on_late);
    mux_say(device->vm, &device->say);
}

void mux_device_prove(MuxDevice *device)
{
    g_assert(device->state == MUX_DEVICE_READY);
    start_proof(device);
}

void mux_device_plug(MuxDevice *device)
{
    mux_device_enter(device, MUX_DEVICE_PLUGGING);
    set_timer(device, GUEST_TIME_MS, on_late);
    mux_plug_add(device->plug, device->facts.fd, device->facts.size, !device->facts.guest_writes);
}

static void on_in(void *user)
{
    MuxDevice *device = user;

    if (device->state == MUX_DEVICE_PLUGGING)
        start_proof(device);
}

static void on_out(void *user, bool full, const char *why)
{
    MuxDevice *device = user;
    g_autofree char *text = g_strdup_printf("%s%s", full ? "" : "QEMU: ", why ? why : "it is gone");

    if (device->state != MUX_DEVICE_UNPLUGGING)
        mux_device_fail(device, full ? "no-memory" : "failed", text);
    finish(device);
}

static void on_stuck(void *user)
{
    MuxDevice *device = user;

    mux_link_log(device->vm->link, G_LOG_LEVEL_WARNING,
                 "the guest does not let go of device %s; it is tried again",
                 mux_plug_device(device->plug));
    device->stuck = true;
    if (device->events)
        device->events->held(device);
    mux_devices_pump(device->vm);
}

// --- leaving

void mux_device_zero(const MuxDevice *device)
{
    if (device->facts.zero && device->facts.fd >= 0)
        (void)fallocate(device->facts.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                        (off_t)device->facts.size);
}

void mux_device_unplug(MuxDevice *device)
{
    if (!device->plug) {
        finish(device);
        return;
    }
    bool plugging = device->state == MUX_DEVICE_PLUGGING;
    device->asked = plugging; // what was begun is undone at once
    mux_device_enter(device, MUX_DEVICE_UNPLUGGING);
    if (plugging)
        mux_plug_remove(device->plug);
    else
        mux_devices_pump(device->vm);
}

void mux_device_leave(MuxDevice *device)
{
    switch (device->state) {
    case MUX_DEVICE_WAITING:
    case MUX_DEVICE_ASKING:
        finish(device);
        break;
    case MUX_DEVICE_PLUGGING: // nobody has seen it
        mux_device_unplug(device);
        break;
    case MUX_DEVICE_PROVING:
    case MUX_DEVICE_READY:
        if (device->facts.fixed) {
            finish(device);
            break;
        }
        mux_device_enter(device, MUX_DEVICE_LEAVING);
        if (device->vm->begun)
            mux_say(device->vm, &device->say);
        break;
    case MUX_DEVICE_LEAVING:
    case MUX_DEVICE_HELD:
    case MUX_DEVICE_UNPLUGGING:
        break;
    }
}

void mux_device_end(MuxDevice *device, const char *reason)
{
    device->reason = reason;
    mux_device_leave(device);
}

// --- all of them

MuxDevice *mux_device_find(MuxVm *vm, uint64_t id)
{
    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->id == id)
            return device;
    }
    return NULL;
}

void mux_devices_begin(MuxVm *vm)
{
    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->state == MUX_DEVICE_LEAVING)
            mux_say(vm, &device->say);
    }
    mux_devices_pump(vm);
}

void mux_devices_down(MuxVm *vm)
{
    for (MuxList *node = vm->devices.next, *next; node != &vm->devices; node = next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        next = node->next;
        if (device->state == MUX_DEVICE_PROVING && !device->facts.buffer) {
            mux_device_enter(device, MUX_DEVICE_READY); // it is proved anew in each session
        } else if (device->state < MUX_DEVICE_READY) {
            mux_device_fail(device, "link-down", "the session ended");
            mux_device_leave(device);
        } else if (device->state == MUX_DEVICE_HELD) {
            device->state = MUX_DEVICE_LEAVING; // and is said so again
        }
    }
}

void mux_devices_lost(MuxVm *vm, bool tell)
{
    MuxList *node;

    while ((node = mux_list_first(&vm->devices))) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        const MuxDeviceEvents *events = device->events;
        device->events = NULL;
        if (tell && events && device->state <= MUX_DEVICE_READY)
            events->failed(device, "link-down", "QEMU is gone");
        else if (tell && events)
            events->ended(device);
        device_free(device);
    }
}

void mux_devices_count(MuxVm *vm, guint *ret_count, uint64_t *ret_bytes)
{
    guint count = 0;
    uint64_t bytes = 0;

    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        const MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->facts.buffer) {
            count++;
            bytes += device->facts.size;
        }
    }
    *ret_count = count;
    *ret_bytes = bytes;
}

// --- its life

static MuxDevice *make(MuxVm *vm, uint64_t id, const MuxDeviceFacts *facts,
                       const MuxDeviceEvents *events, void *user)
{
    static const MuxPlugEvents plug_events = {on_in, on_out, on_stuck};
    MuxDevice *device = g_new0(MuxDevice, 1);

    device->vm = vm;
    device->id = id;
    device->facts = *facts;
    device->events = events;
    device->user = user;
    mux_list_init(&device->node);
    mux_list_append(&vm->devices, &device->node);
    mux_say_init(&device->say, mux_device_line);
    if (!facts->fixed)
        device->plug = mux_plug_new(vm->qmp, id, &plug_events, device);
    return device;
}

MuxDevice *mux_device_new(MuxVm *vm, const MuxDeviceFacts *facts, const MuxDeviceEvents *events,
                          void *user)
{
    if (!vm->qmp && !facts->fixed)
        return NULL;
    MuxDevice *device = make(vm, mux_link_random(), facts, events, user);
    if (facts->fixed)
        device->state = MUX_DEVICE_READY; // as QEMU has it
    else
        mux_devices_pump(vm);
    return device;
}

MuxDevice *mux_device_adopt(MuxVm *vm, uint64_t id, const MuxDeviceFacts *facts,
                            const MuxDeviceEvents *events, void *user)
{
    MuxDevice *device = make(vm, id, facts, events, user);

    mux_plug_adopt(device->plug);
    device->state = events ? MUX_DEVICE_READY : MUX_DEVICE_LEAVING;
    return device;
}
