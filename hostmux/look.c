// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What a VM's QEMU has of ours, when the connection to it is new: devices of this hostmux, which
// may have changed meanwhile, and of an earlier one. Those of buffers that were kept are taken
// over; all others are to go.

#include <string.h>

#include "keep.h"
#include "memory-private.h"
#include "relay/json.h"
#include "relay/link-session.h"

static bool has(json_object *untrusted_list, const char *name)
{
    size_t n = json_object_is_type(untrusted_list, json_type_array)
                   ? json_object_array_length(untrusted_list)
                   : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *value = mux_get(json_object_array_get_idx(untrusted_list, i), "name");
        if (mux_json_is_text(value) && strcmp(json_object_get_string(value), name) == 0)
            return true;
    }
    return false;
}

// "guestmux-ID" with `suffix` behind it.
static bool read_name(json_object *untrusted_entry, const char *suffix, uint64_t *ret_id)
{
    json_object *value = mux_get(untrusted_entry, "name");
    const char *name = mux_json_is_text(value) ? json_object_get_string(value) : "";

    if (!g_str_has_prefix(name, MUX_PLUG_PREFIX) || !g_str_has_suffix(name, suffix))
        return false;
    size_t length = strlen(name) - strlen(MUX_PLUG_PREFIX) - strlen(suffix);
    if (length != 16)
        return false;
    g_autofree char *id = g_strndup(name + strlen(MUX_PLUG_PREFIX), length);
    return mux_id_read(id, ret_id);
}

// A buffer that an earlier hostmux made, and whose memory was kept.
static bool adopt_kept(MuxVm *vm, uint64_t id)
{
    MuxKept *kept = mux_keep_take(vm->memory->keep, vm->link->name, id);

    if (!kept)
        return false;
    bool good = mux_share_adopt(vm, kept);
    mux_kept_free(kept);
    return good;
}

// What is there and nobody knows: it is to go, once the guest has let it go.
static void adopt_others(MuxVm *vm)
{
    static const MuxDeviceFacts nobodys = {.fd = -1, .buffer = true};
    json_object *list = vm->seen_devices;
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    uint64_t id;

    for (size_t i = 0; i < n; i++) {
        if (!read_name(json_object_array_get_idx(list, i), "", &id) || mux_device_find(vm, id))
            continue;
        if (adopt_kept(vm, id))
            continue;
        mux_link_log(vm->link, G_LOG_LEVEL_MESSAGE,
                     "QEMU has device " MUX_PLUG_PREFIX "%016" G_GINT64_MODIFIER
                     "x of an earlier hostmux",
                     id);
        (void)mux_device_adopt(vm, id, &nobodys, NULL, NULL);
    }
}

static void delete_other_objects(MuxVm *vm)
{
    json_object *list = vm->seen_objects;
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    uint64_t id;

    for (size_t i = 0; i < n; i++) {
        json_object *entry = json_object_array_get_idx(list, i);
        if (!read_name(entry, "-memory", &id) || mux_device_find(vm, id))
            continue;
        json_object *arguments = json_object_new_object();
        json_object_object_add(arguments, "id", json_object_get(mux_get(entry, "name")));
        mux_qmp_execute(vm->qmp, "object-del", arguments, -1, NULL, vm);
    }
}

static void look_at_ours(MuxVm *vm, json_object *untrusted_buses)
{
    for (MuxList *node = vm->devices.next, *next; node != &vm->devices; node = next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        next = node->next;
        if (!device->plug)
            continue;
        const char *name = mux_plug_device(device->plug);
        g_autofree char *memory = g_strconcat(name, "-memory", NULL);
        if (!mux_place_address(untrusted_buses, name, device->address))
            device->address[0] = '\0';
        mux_plug_look(device->plug, has(vm->seen_devices, name), has(vm->seen_objects, memory));
    }
}

static void on_pci(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxVm *vm = user;

    if (error)
        return; // the connection is gone, or is no QEMU's
    look_at_ours(vm, untrusted_answer);
    adopt_others(vm);
    delete_other_objects(vm);
    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->plug && !device->address[0])
            (void)mux_place_address(untrusted_answer, mux_plug_device(device->plug),
                                    device->address);
    }
    mux_keep_forget(vm->memory->keep, vm->link->name);
    mux_vm_looked(vm);
}

static void on_objects(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxVm *vm = user;

    if (error)
        return;
    json_object_put(vm->seen_objects);
    vm->seen_objects = json_object_get(untrusted_answer);
    mux_qmp_execute(vm->qmp, "query-pci", NULL, -1, on_pci, vm);
}

static void list(MuxVm *vm, const char *path, MuxQmpDone *done)
{
    json_object *arguments = json_object_new_object();

    json_object_object_add(arguments, "path", json_object_new_string(path));
    mux_qmp_execute(vm->qmp, "qom-list", arguments, -1, done, vm);
}

static void on_devices(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxVm *vm = user;

    if (error)
        return;
    json_object_put(vm->seen_devices);
    vm->seen_devices = json_object_get(untrusted_answer);
    list(vm, "/objects", on_objects);
}

void mux_vm_look(MuxVm *vm)
{
    list(vm, "/machine/peripheral", on_devices);
}
