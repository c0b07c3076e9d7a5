// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The two regions through which channels go. Each is the memory of a device: one that QEMU was
// started with (shm-out, shm-in), or one that is plugged when the guest first asks, and stays. In
// each session it is proved anew and used under a new epoch. Whatever is not to be had, everything
// goes through the port, and status says why.

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/link-session.h"

#define REGION_BYTES ((uint64_t)16 << 20)

static const char *name_of(const MuxOffload *offload)
{
    return offload->side == MUX_REGION_OUT ? "out" : "in";
}

static void say_off(const MuxOffload *offload, const char *why)
{
    mux_regions_say(offload->vm->link, offload->side, "off", why);
}

// --- its device

static json_object *make_line(MuxSay *say)
{
    const MuxOffload *offload = mux_container(say, MuxOffload, say);
    json_object *line, *slots;

    if (!offload->told)
        return NULL;
    line = json_object_new_object();
    slots = json_object_new_array();
    for (unsigned i = 0; i < offload->n_classes; i++) {
        json_object *slot = json_object_new_array();
        json_object_array_add(slot, json_object_new_int64(offload->classes[i].size));
        json_object_array_add(slot, json_object_new_int64(offload->classes[i].count));
        json_object_array_add(slots, slot);
    }
    json_object_object_add(line, "region", json_object_new_string(name_of(offload)));
    json_object_object_add(line, "device", mux_id_json(offload->device->id));
    json_object_object_add(line, "epoch", json_object_new_int64(offload->epoch));
    json_object_object_add(line, "slots", slots);
    return line;
}

static int attach(const MuxOffload *offload)
{
    int r = mux_regions_attach(offload->vm->link, offload->side, offload->device->facts.fd,
                               offload->device->facts.size, offload->epoch, offload->classes,
                               offload->n_classes);
    if (r < 0)
        say_off(offload, g_strerror(-r));
    return r;
}

static void on_proved(MuxDevice *device)
{
    MuxOffload *offload = device->user;

    if (device->plug)
        (void)fchmod(device->facts.fd, 0600); // QEMU has opened it
    while (++offload->epoch == 0)
        ;
    offload->n_classes = mux_regions_divide(device->facts.size, offload->classes);
    mux_device_zero(device); // nothing of an earlier session is in it
    // What the guest sends refers to "in" as soon as it is told of it.
    if (offload->side == MUX_REGION_OUT || attach(offload) == 0) {
        offload->told = true;
        mux_say(offload->vm, &offload->say);
    }
    if (offload->side == MUX_REGION_OUT)
        mux_offload_begin(&offload->vm->in);
}

static void on_failed(MuxDevice *device, const char *code, const char *why)
{
    MuxOffload *offload = device->user;

    (void)code;
    offload->device = NULL;
    offload->told = offload->used = false;
    mux_regions_detach(offload->vm->link, offload->side);
    say_off(offload, why);
    if (offload->side == MUX_REGION_OUT)
        mux_offload_begin(&offload->vm->in);
}

static void on_held(MuxDevice *device)
{
    (void)device;
}

static void on_ended(MuxDevice *device)
{
    MuxOffload *offload = device->user;
    offload->device = NULL;
}

static const MuxDeviceEvents device_events = {on_proved, on_failed, on_held, on_ended};

// --- having one

// Opened in each session: QEMU may have been started again with another file.
static int open_file(const char *path, uint64_t *ret_size, const char **ret_why)
{
    struct stat st = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        *ret_why = g_strerror(errno);
    else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        *ret_why = "it is no regular file";
    else if (st.st_size < (off_t)MUX_BUFFER_LEAST || st.st_size & (st.st_size - 1))
        *ret_why = "its size is no power of two of 1 MiB or more";
    else {
        *ret_size = (uint64_t)st.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static void use_file(MuxOffload *offload, const char *path)
{
    MuxDeviceFacts facts = {
        .guest_writes = offload->side == MUX_REGION_IN, .fixed = true, .zero = true};
    const char *why = NULL;

    facts.fd = open_file(path, &facts.size, &why);
    if (facts.fd < 0) {
        g_autofree char *text = g_strdup_printf("%s: %s", path, why);
        say_off(offload, text);
        mux_link_log(offload->vm->link, G_LOG_LEVEL_WARNING, "%s", text);
        return;
    }
    offload->device = mux_device_new(offload->vm, &facts, &device_events, offload);
    mux_device_prove(offload->device);
}

// Both regions of an earlier try are still there: a guest that keeps them, and makes us plug others
// for each session, would have as many as QEMU has room for.
static bool is_held_up(const MuxOffload *offload)
{
    const MuxVm *vm = offload->vm;
    unsigned n = 0;

    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        const MuxDevice *device = mux_container(node, MuxDevice, node);
        n += !device->facts.buffer && !device->facts.fixed && device != vm->out.device &&
             device != vm->in.device;
    }
    return n > 1;
}

// As large as the guest has room for: a root port without pref64-reserve= may have 2 MiB.
static void on_places(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxOffload *offload = user;
    MuxDeviceFacts facts = {
        .size = REGION_BYTES, .guest_writes = offload->side == MUX_REGION_IN, .zero = true};
    MuxPlace place = {0};

    offload->asking = false;
    if (error || offload->device || !offload->vm->begun)
        return;
    if (mux_place_find(untrusted_answer, REGION_BYTES, 0, &place) == 0 && place.window > 0)
        while (facts.size > place.window && facts.size > MUX_BUFFER_LEAST)
            facts.size /= 2;
    facts.fd = mux_memfd_new(facts.size);
    if (facts.fd < 0)
        say_off(offload, g_strerror(-facts.fd));
    else
        offload->device = mux_device_new(offload->vm, &facts, &device_events, offload);
}

static bool is_busy(const MuxOffload *offload)
{
    return offload->asking || (offload->device && offload->device->state != MUX_DEVICE_READY);
}

void mux_offload_begin(MuxOffload *offload)
{
    MuxVm *vm = offload->vm;
    const char *file = offload->side == MUX_REGION_OUT ? vm->settings.shm_out : vm->settings.shm_in;

    if (!vm->begun || offload->told || is_busy(offload))
        return;
    // One after the other: what one takes, the other does not find.
    if (offload->side == MUX_REGION_IN && is_busy(&vm->out))
        return;
    if (offload->device) {
        mux_device_prove(offload->device);
    } else if (file) {
        use_file(offload, file);
    } else if (vm->settings.no_offload) {
        mux_regions_unwanted(vm->link, "\"offload\" is false");
        return;
    } else if (vm->settings.shm_in || vm->settings.shm_out) {
        say_off(offload, "not configured");
        return;
    } else if (!vm->qmp) {
        say_off(offload, "hostmux was told neither of this VM's QMP nor of files (qmp=, shm-out=)");
        return;
    } else if (!vm->looked) {
        say_off(offload, "this VM's QMP is not connected");
        return;
    } else if (is_held_up(offload)) {
        say_off(offload, "the guest has not let go of earlier ones");
        return;
    } else {
        offload->asking = true;
        mux_qmp_execute(vm->qmp, "query-pci", NULL, -1, on_places, offload);
    }
    if (offload->device || !file)
        mux_regions_say(vm->link, offload->side, "proving", NULL);
}

void mux_offload_down(MuxOffload *offload)
{
    MuxDevice *device = offload->device;

    offload->told = offload->used = offload->asking = false;
    mux_list_remove(&offload->say.node);
    if (offload->vm->qmp)
        mux_qmp_cancel(offload->vm->qmp, offload);
    if (device && device->facts.fixed) {
        offload->device = NULL;
        device->events = NULL;
        mux_device_end(device, NULL);
    }
}

// --- what the guest says

bool mux_offload_take(MuxVm *vm, json_object *untrusted_line, GError **error)
{
    json_object *name = mux_get(untrusted_line, "region"),
                *epoch = mux_get(untrusted_line, "epoch");
    g_autofree char *why = mux_shown(untrusted_line, "error");
    const char *text = mux_json_is_text(name) ? json_object_get_string(name) : "";
    MuxOffload *offload = strcmp(text, "out") == 0  ? &vm->out
                          : strcmp(text, "in") == 0 ? &vm->in
                                                    : NULL;

    if (!offload) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "there is no such region");
        return false;
    }
    if (!offload->told || json_object_get_int64(epoch) != offload->epoch)
        return true;
    if (why) {
        offload->told = offload->used = false;
        mux_regions_detach(vm->link, offload->side);
        say_off(offload, why);
    } else if (offload->side == MUX_REGION_OUT && !offload->used) {
        offload->used = true;
        (void)attach(offload);
    }
    return true;
}

void mux_offload_init(MuxOffload *offload, MuxVm *vm, MuxRegionSide side)
{
    offload->vm = vm;
    offload->side = side;
    offload->epoch = (uint32_t)mux_link_random();
    mux_say_init(&offload->say, make_line);
}
