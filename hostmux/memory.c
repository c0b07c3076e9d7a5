// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A VM's memory. Two things come and go by themselves: the connection to QEMU, on which it is
// looked what QEMU has, and the channel to the guest. When both are there (or there is no QMP at
// all), it begins: the guest is told which buffers are left, and then the regions and whatever
// waits are plugged. When QEMU's connection and the port are both gone, QEMU is, with all that it
// had.

#include "memory.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "keep.h"
#include "memory-private.h"
#include "relay/json.h"
#include "relay/link-session.h"
#include "relay/sources.h"

#define DOUBT_MS 250  // between looks whether QEMU is gone
#define WAIT_MS  2000 // for QMP, before the guest is told without it

#define EARLY_MAX 320 // guestmux lets no more than some 256 wait

// --- settings

void mux_memory_settings_clear(MuxMemorySettings *settings)
{
    g_clear_pointer(&settings->qmp, g_free);
    g_clear_pointer(&settings->shm_out, g_free);
    g_clear_pointer(&settings->shm_in, g_free);
}

bool mux_memory_settings_equal(const MuxMemorySettings *a, const MuxMemorySettings *b)
{
    return g_strcmp0(a->qmp, b->qmp) == 0 && g_strcmp0(a->shm_out, b->shm_out) == 0 &&
           g_strcmp0(a->shm_in, b->shm_in) == 0 && a->no_offload == b->no_offload;
}

const MuxMemorySettings *mux_memory_of(const MuxLink *link)
{
    const MuxVm *vm = link->memory;
    return &vm->settings;
}

static json_object *make_ready(MuxSay *say)
{
    json_object *line = json_object_new_object();

    (void)say;
    json_object_object_add(line, "ready", json_object_new_boolean(true));
    return line;
}

// --- what the guest says

static bool take_line(MuxVm *vm, json_object *untrusted_line, GError **error)
{
    static const char *const of_device[] = {"may", "device", "gone", NULL};
    static const char *const of_share[] = {"create", "set", "release", NULL};

    for (const char *const *key = of_share; *key; key++)
        if (mux_get(untrusted_line, *key))
            return mux_share_take(vm, *key, untrusted_line, error);
    for (const char *const *key = of_device; *key; key++)
        if (mux_get(untrusted_line, *key))
            return mux_devices_take(vm, *key, untrusted_line, error);
    if (mux_get(untrusted_line, "region"))
        return mux_offload_take(vm, untrusted_line, error);
    return true;
}

// What is asked while QMP is being waited for.
static bool keep_early(MuxVm *vm, json_object *untrusted_line, GError **error)
{
    if (vm->early->len >= EARLY_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "it asks for too much at once");
        return false;
    }
    g_ptr_array_add(vm->early, json_object_get(untrusted_line));
    return true;
}

static bool on_line(void *user, json_object *untrusted_line, GError **error)
{
    MuxVm *vm = user;

    return vm->begun ? take_line(vm, untrusted_line, error) : keep_early(vm, untrusted_line, error);
}

static void take_early(MuxVm *vm)
{
    g_autoptr(GError) error = NULL;
    bool good = true;

    for (guint i = 0; i < vm->early->len && good; i++)
        good = take_line(vm, g_ptr_array_index(vm->early, i), &error);
    g_ptr_array_set_size(vm->early, 0);
    if (error)
        mux_link_log(vm->link, G_LOG_LEVEL_WARNING, "the guest asks for nonsense: %s",
                     error->message);
}

// --- beginning

static void begin(MuxVm *vm)
{
    if (vm->begun || !mux_lines_are_open(vm->lines))
        return;
    vm->begun = true;
    mux_share_begin(vm);
    mux_devices_begin(vm); // those that go first: the guest is to answer about them
    mux_say(vm, &vm->ready);
    take_early(vm);
}

static void begin_offload(MuxVm *vm)
{
    mux_offload_begin(&vm->out);
    mux_offload_begin(&vm->in);
}

static gboolean on_waited(gpointer user)
{
    MuxVm *vm = user;

    vm->wait = 0;
    begin(vm);
    begin_offload(vm);
    return G_SOURCE_REMOVE;
}

static void stop_waiting(MuxVm *vm)
{
    if (vm->wait)
        g_source_remove(vm->wait);
    vm->wait = 0;
}

void mux_vm_looked(MuxVm *vm)
{
    vm->looked = true;
    stop_waiting(vm);
    begin(vm);
    mux_devices_begin(vm);
    begin_offload(vm);
}

// --- QMP

// QEMU is gone when neither its QMP nor the port is there.
static gboolean on_doubt(gpointer user)
{
    MuxVm *vm = user;

    if (mux_port_is_up(vm->link->port))
        return G_SOURCE_CONTINUE;
    vm->doubt = 0;
    if (!mux_list_empty(&vm->devices))
        mux_link_log(vm->link, G_LOG_LEVEL_MESSAGE, "QEMU is gone, and its shared memory with it");
    mux_devices_lost(vm, true);
    return G_SOURCE_REMOVE;
}

static void stop_doubting(MuxVm *vm)
{
    if (vm->doubt)
        g_source_remove(vm->doubt);
    vm->doubt = 0;
}

static void on_qmp_up(void *user)
{
    MuxVm *vm = user;

    stop_doubting(vm);
    mux_link_log(vm->link, G_LOG_LEVEL_INFO, "QMP %s connected", vm->settings.qmp);
    mux_vm_look(vm);
}

static void on_qmp_down(void *user)
{
    MuxVm *vm = user;

    vm->looked = false;
    mux_link_log(vm->link, G_LOG_LEVEL_INFO, "QMP %s is gone", vm->settings.qmp);
    if (!vm->doubt)
        vm->doubt = mux_source_timeout(DOUBT_MS, on_doubt, vm);
}

static void on_qmp_event(void *user, const char *untrusted_name, json_object *untrusted_data)
{
    MuxVm *vm = user;
    json_object *id = mux_get(untrusted_data, "device");

    mux_absent_event(vm, untrusted_name);
    if (strcmp(untrusted_name, "DEVICE_DELETED") != 0 || !mux_json_is_text(id))
        return;
    for (MuxList *node = vm->devices.next; node != &vm->devices; node = node->next) {
        MuxDevice *device = mux_container(node, MuxDevice, node);
        if (device->plug &&
            strcmp(mux_plug_device(device->plug), json_object_get_string(id)) == 0) {
            bool in_use = device->state == MUX_DEVICE_READY && !device->facts.buffer;
            mux_plug_deleted(device->plug);
            // What was on the way through it may have been read after it went.
            if (in_use)
                mux_link_restart(vm->link, "somebody has unplugged the shared memory");
            return;
        }
    }
}

// --- the channel

static json_object *on_next(void *user)
{
    return mux_say_next(user);
}

static void go_down(MuxVm *vm)
{
    vm->begun = false;
    g_ptr_array_set_size(vm->early, 0);
    stop_waiting(vm);
    mux_lines_end(vm->lines);
    mux_say_nothing(vm);
    mux_offload_down(&vm->out);
    mux_offload_down(&vm->in);
    mux_devices_down(vm);
}

// The guest ended it, or said what makes no sense: nothing is known of it until the next session.
static void on_lines_ended(void *user, bool refused)
{
    (void)refused;
    go_down(user);
}

static bool take(MuxLink *link, MuxChannel *channel)
{
    MuxVm *vm = link->memory;

    if (!vm || !mux_lines_take(vm->lines, channel))
        return false;
    if (!vm->qmp || vm->looked)
        (void)on_waited(vm);
    else
        vm->wait = mux_source_timeout(WAIT_MS, on_waited, vm);
    return true;
}

static void down(MuxLink *link)
{
    if (link->memory)
        go_down(link->memory);
}

// --- its life

static void put(gpointer object)
{
    json_object_put(object);
}

static void vm_free(MuxVm *vm)
{
    stop_doubting(vm);
    stop_waiting(vm);
    mux_say_nothing(vm);
    mux_lines_free(vm->lines);
    mux_devices_lost(vm, false);
    mux_qmp_free(vm->qmp);
    g_ptr_array_unref(vm->early);
    json_object_put(vm->seen_devices);
    json_object_put(vm->seen_objects);
    mux_memory_settings_clear(&vm->settings);
    g_free(vm);
}

static void free_link(MuxLink *link)
{
    MuxVm *vm = link->memory;

    if (!vm)
        return;
    for (MuxBuffer *b = NULL; (b = mux_buffers_next(link, b));)
        mux_share_free(b);
    link->memory = NULL;
    vm_free(vm);
}

bool mux_memory_attach(MuxMemory *memory, MuxLink *link, MuxMemorySettings *settings,
                       GError **error)
{
    static const MuxLinesEvents lines_events = {on_line, on_next, on_lines_ended};
    static const MuxQmpEvents qmp_events = {on_qmp_up, on_qmp_down, on_qmp_event};
    MuxVm *vm = g_new0(MuxVm, 1);

    vm->memory = memory;
    vm->link = link;
    mux_list_init(&vm->says);
    mux_list_init(&vm->devices);
    mux_say_init(&vm->ready, make_ready);
    mux_offload_init(&vm->out, vm, MUX_REGION_OUT);
    mux_offload_init(&vm->in, vm, MUX_REGION_IN);
    vm->early = g_ptr_array_new_with_free_func(put);
    vm->settings = *settings;
    *settings = (MuxMemorySettings){0};
    vm->lines = mux_lines_new(link, MUX_MEMORY_NAME, &lines_events, vm);
    if (vm->settings.qmp)
        vm->qmp =
            mux_qmp_new(memory->relay->loop, link->name, vm->settings.qmp, &qmp_events, vm, error);
    if (vm->settings.qmp && !vm->qmp) {
        vm_free(vm);
        return false;
    }
    link->memory = vm;
    return true;
}

static json_object *status(MuxLink *link)
{
    const MuxVm *vm = link->memory;

    if (!vm)
        return NULL;
    json_object *object = json_object_new_object();
    const char *state = !vm->qmp                                ? "none"
                        : mux_qmp_is_up(vm->qmp) && !vm->looked ? "looking what is plugged"
                                                                : mux_qmp_state(vm->qmp);
    json_object_object_add(object, "qmp", json_object_new_string(state));
    return object;
}

MuxMemory *mux_memory_new(MuxRelay *relay)
{
    static const MuxMemoryKind kind = {
        .take = take,
        .down = down,
        .free = free_link,
        .create = mux_share_create,
        .set = mux_share_set,
        .release = mux_share_release,
        .idle = mux_share_idle,
        .memory = mux_share_memory,
        .noticed = mux_share_noticed,
        .status = status,
    };
    MuxMemory *memory = g_new0(MuxMemory, 1);

    memory->relay = relay;
    memory->keep = mux_keep_new(relay);
    relay->memory = &kind;
    relay->memory_user = memory;
    return memory;
}

void mux_memory_end(MuxMemory *memory)
{
    memory->keep = mux_keep_free(memory->keep);
}

MuxMemory *mux_memory_free(MuxMemory *memory)
{
    if (!memory)
        return NULL;
    mux_keep_free(memory->keep);
    mux_nodes_free(memory->nodes);
    if (memory->shares)
        g_ptr_array_unref(memory->shares);
    g_free(memory);
    return NULL;
}

void mux_memory_set_run(MuxMemory *memory, const char *folder)
{
    if (g_strcmp0(mux_nodes_folder(memory->nodes), folder) == 0)
        return;
    if (memory->nodes) {
        g_warning("\"run\" is changed by a restart only; it stays %s",
                  mux_nodes_folder(memory->nodes));
        return;
    }
    memory->nodes = mux_nodes_new(folder);
}

void mux_memory_set_shares(MuxMemory *memory, GPtrArray *shares)
{
    if (memory->shares)
        g_ptr_array_unref(memory->shares);
    memory->shares = shares;
}
