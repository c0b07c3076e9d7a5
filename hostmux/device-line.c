// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Lines about devices: what the guest is asked, and what it answers.

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"

#define WROTE_AT 32

// --- what is said

static json_object *device_line(const MuxDevice *device)
{
    char mark[MUX_HEX_SIZE(sizeof(device->mark))];
    json_object *line = json_object_new_object();

    mux_hex(device->mark, sizeof(device->mark), mark);
    json_object_object_add(line, "device", mux_id_json(device->id));
    json_object_object_add(line, "size", json_object_new_int64((int64_t)device->facts.size));
    json_object_object_add(line, "mark", json_object_new_string(mark));
    json_object_object_add(line, "write", json_object_new_boolean(device->facts.guest_writes));
    return line;
}

json_object *mux_device_line(MuxSay *say)
{
    MuxDevice *device = mux_container(say, MuxDevice, say);
    json_object *line;

    switch (device->state) {
    case MUX_DEVICE_ASKING:
    case MUX_DEVICE_LEAVING:
        line = json_object_new_object();
        json_object_object_add(line, device->state == MUX_DEVICE_ASKING ? "may" : "gone",
                               mux_id_json(device->id));
        if (device->state == MUX_DEVICE_LEAVING && device->address[0])
            json_object_object_add(line, "address", json_object_new_string(device->address));
        if (device->state == MUX_DEVICE_LEAVING)
            json_object_object_add(
                line, "reason", json_object_new_string(device->reason ? device->reason : "reset"));
        return line;
    case MUX_DEVICE_PROVING:
        return device_line(device);
    case MUX_DEVICE_WAITING:
    case MUX_DEVICE_PLUGGING:
    case MUX_DEVICE_READY:
    case MUX_DEVICE_HELD:
    case MUX_DEVICE_UNPLUGGING:
        break;
    }
    return NULL;
}

// --- what the guest says

static void take_may(MuxDevice *device, json_object *untrusted_line)
{
    g_autofree char *error = mux_shown(untrusted_line, "error");

    if (device->state != MUX_DEVICE_ASKING)
        return;
    if (error) {
        mux_device_fail(device, "failed", error);
        mux_device_leave(device);
        return;
    }
    mux_device_plug(device);
}

// Whether it has seen the memory, and we what it has written.
static bool is_proved(const MuxDevice *device, json_object *untrusted_line)
{
    guint8 proof[sizeof(device->proof)], wrote[16], there[16];
    json_object *text = mux_get(untrusted_line, "proof");

    if (!mux_json_is_text(text) || !mux_unhex(json_object_get_string(text), proof, sizeof(proof)) ||
        memcmp(proof, device->proof, sizeof(proof)) != 0)
        return false;
    if (!device->facts.guest_writes)
        return true;
    text = mux_get(untrusted_line, "wrote");
    return mux_json_is_text(text) &&
           mux_unhex(json_object_get_string(text), wrote, sizeof(wrote)) &&
           pread(device->facts.fd, there, sizeof(there), WROTE_AT) == sizeof(there) &&
           memcmp(there, wrote, sizeof(wrote)) == 0;
}

static char *why_not_seen(const MuxDevice *device, const char *error)
{
    uint64_t window = device->plug ? mux_plug_place(device->plug)->window : 0;

    if (!error && device->facts.fixed && device->facts.guest_writes)
        return g_strdup_printf("the guest cannot write %s: are shm-out and shm-in swapped?",
                               device->vm->settings.shm_in);
    if (!error)
        error = "its proof is wrong";
    if (window == 0 || window >= device->facts.size)
        return g_strdup_printf("guest: %s", error);
    return g_strdup_printf("guest: %s (the root port '%s' has room for %" G_GUINT64_FORMAT
                           " KiB only; give it pref64-reserve=)",
                           error, mux_plug_place(device->plug)->bus, window >> 10);
}

static void take_proof(MuxDevice *device, json_object *untrusted_line)
{
    g_autofree char *error = mux_shown(untrusted_line, "error");

    if (device->state != MUX_DEVICE_PROVING)
        return;
    bool proved = !error && is_proved(device, untrusted_line);
    mux_device_unmark(device);
    if (proved) {
        mux_device_enter(device, MUX_DEVICE_READY);
        if (device->events)
            device->events->proved(device);
        return;
    }
    g_autofree char *why = why_not_seen(device, error);
    mux_device_fail(device, "unmappable", why);
    mux_device_leave(device);
}

static void take_gone(MuxDevice *device, json_object *untrusted_line)
{
    json_object *holders = mux_get(untrusted_line, "holders");

    if (device->state != MUX_DEVICE_LEAVING && device->state != MUX_DEVICE_HELD)
        return;
    if (json_object_get_int64(holders) <= 0) {
        mux_device_unplug(device);
        return;
    }
    mux_device_zero(device);
    mux_device_enter(device, MUX_DEVICE_HELD);
    if (device->events)
        device->events->held(device);
}

bool mux_devices_take(MuxVm *vm, const char *what, json_object *untrusted_line, GError **error)
{
    uint64_t id;

    if (!mux_get_id(untrusted_line, what, &id)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"%s\" is no id", what);
        return false;
    }
    MuxDevice *device = mux_device_find(vm, id);
    if (!device) // of one that went meanwhile
        return true;
    if (strcmp(what, "may") == 0)
        take_may(device, untrusted_line);
    else if (strcmp(what, "gone") == 0)
        take_gone(device, untrusted_line);
    else
        take_proof(device, untrusted_line);
    return true;
}
