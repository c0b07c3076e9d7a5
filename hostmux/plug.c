// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Adding is: find a place; give QEMU the descriptor, and let it open that as a file (so it needs no
// right to any path of ours); take the descriptor back; add the device. Removing: ask for it, wait
// until QEMU says that the guest has let it go, and delete the memory. Each command's answer leads
// to the next one.
//
// When the connection is lost in the middle, nobody knows what was done. The state stays, and once
// there is a connection again mux_plug_look() says what QEMU has: what was being added is undone,
// what was being removed is removed.

#include "plug.h"

#include <string.h>

#include "relay/json.h"
#include "relay/sources.h"

#define DELETE_TIME_MS 10000 // a guest with native PCIe hotplug takes 5 s
#define AGAIN_MS       30000
#define PLACES_MAX     16 // root ports that may turn out not to be hot-pluggable

typedef enum PlugState {
    PLUG_OUT,
    PLUG_ADDING,  // up to the device
    PLUG_UNDOING, // it failed; what there is of it is being deleted
    PLUG_IN,
    PLUG_REMOVING, // the guest is to let it go
    PLUG_DELETING, // the device is gone, the memory is being deleted
} PlugState;

struct MuxPlug {
    MuxQmp *qmp;
    const MuxPlugEvents *events;
    void *user;
    PlugState state;
    char *device, *memory; // QEMU's ids
    int fd;                // lent
    uint64_t size;
    bool readonly;
    bool abandoned; // removed while it is being added
    bool has_memory;
    unsigned skip; // places that turned out not to be any
    MuxPlace place;
    int64_t fdset, qemu_fd;
    char *why; // adding failed
    bool full; // …since there is no place
    guint timer;
};

static void set_timer(MuxPlug *plug, guint ms, GSourceFunc fn)
{
    if (plug->timer)
        g_source_remove(plug->timer);
    plug->timer = ms ? mux_source_timeout(ms, fn, plug) : 0;
}

static void go_out(MuxPlug *plug)
{
    g_autofree char *why = g_steal_pointer(&plug->why);

    set_timer(plug, 0, NULL);
    plug->state = PLUG_OUT;
    plug->events->out(plug->user, plug->full, plug->abandoned ? NULL : why);
}

// --- what is said

static json_object *one(const char *key, json_object *value)
{
    json_object *object = json_object_new_object();

    json_object_object_add(object, key, value);
    return object;
}

static void execute(MuxPlug *plug, const char *command, json_object *arguments, MuxQmpDone *done)
{
    mux_qmp_execute(plug->qmp, command, arguments, -1, done, plug);
}

static void delete_memory(MuxPlug *plug, MuxQmpDone *done)
{
    execute(plug, "object-del", one("id", json_object_new_string(plug->memory)), done);
}

// --- removing

static void on_memory_deleted(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    (void)untrusted_answer;
    // Any other error says that it was not there.
    if (!error || !error->lost)
        go_out(user);
}

static void ask_to_let_go(MuxPlug *plug);

static gboolean on_stuck(gpointer user)
{
    MuxPlug *plug = user;

    plug->timer = 0;
    ask_to_let_go(plug);
    plug->events->stuck(plug->user);
    return G_SOURCE_REMOVE;
}

static void on_let_go(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    (void)untrusted_answer;
    // Refused is also what it has been asked before.
    if (error && error->not_found)
        mux_plug_deleted(user);
}

static void ask_to_let_go(MuxPlug *plug)
{
    bool again = plug->state == PLUG_REMOVING;

    plug->state = PLUG_REMOVING;
    set_timer(plug, again ? AGAIN_MS : DELETE_TIME_MS, on_stuck);
    execute(plug, "device_del", one("id", json_object_new_string(plug->device)), on_let_go);
}

void mux_plug_remove(MuxPlug *plug)
{
    switch (plug->state) {
    case PLUG_IN:
        plug->abandoned = true;
        ask_to_let_go(plug);
        break;
    case PLUG_ADDING:
    case PLUG_UNDOING:
        plug->abandoned = true;
        break;
    case PLUG_OUT:
    case PLUG_REMOVING:
    case PLUG_DELETING:
        break;
    }
}

void mux_plug_deleted(MuxPlug *plug)
{
    if (plug->state == PLUG_IN) // not by us
        plug->why = g_strdup("somebody else unplugged it");
    if (plug->state != PLUG_IN && plug->state != PLUG_REMOVING)
        return;
    plug->state = PLUG_DELETING;
    set_timer(plug, 0, NULL);
    delete_memory(plug, on_memory_deleted);
}

// --- adding

static void undo(MuxPlug *plug, const char *why)
{
    g_free(plug->why);
    plug->why = g_strdup(why);
    plug->state = PLUG_UNDOING;
    if (plug->has_memory)
        delete_memory(plug, on_memory_deleted);
    else
        go_out(plug);
}

// Whether it goes on; else the plug may be freed.
static bool goes_on(MuxPlug *plug, const MuxQmpError *error)
{
    if (!error && !plug->abandoned)
        return true;
    if (!error || !error->lost)
        undo(plug, error ? error->text : "it is not wanted any more");
    return false;
}

static void find_place(MuxPlug *plug);

static void on_device_added(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxPlug *plug = user;

    (void)untrusted_answer;
    if (error && !error->lost && plug->place.bus[0] && strstr(error->text, "hotplug") &&
        ++plug->skip < PLACES_MAX) {
        find_place(plug);
    } else if (error && !error->lost && strstr(error->text, "hotplug")) {
        plug->full = true;
        undo(plug, "the machine has no PCIe root port to plug devices into (-device "
                   "pcie-root-port)");
    } else if (error) {
        (void)goes_on(plug, error);
    } else {
        plug->state = PLUG_IN;
        if (plug->abandoned)
            ask_to_let_go(plug);
        else
            plug->events->in(plug->user);
    }
}

static void add_device(MuxPlug *plug)
{
    json_object *arguments = one("driver", json_object_new_string("ivshmem-plain"));

    json_object_object_add(arguments, "id", json_object_new_string(plug->device));
    json_object_object_add(arguments, "memdev", json_object_new_string(plug->memory));
    if (plug->place.bus[0])
        json_object_object_add(arguments, "bus", json_object_new_string(plug->place.bus));
    execute(plug, "device_add", arguments, on_device_added);
}

static void on_fd_removed(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxPlug *plug = user;
    g_autofree char *why = NULL;

    (void)untrusted_answer;
    if (error && error->lost)
        return;
    why = g_steal_pointer(&plug->why);
    if (!plug->has_memory)
        undo(plug, why);
    else if (goes_on(plug, NULL))
        add_device(plug);
}

// QEMU has opened it as a file, or cannot; either way the descriptor is not needed any more.
static void on_memory_added(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxPlug *plug = user;

    (void)untrusted_answer;
    if (error && error->lost)
        return;
    plug->has_memory = !error;
    if (error)
        plug->why = g_strdup(error->text);
    json_object *arguments = one("fdset-id", json_object_new_int64(plug->fdset));
    json_object_object_add(arguments, "fd", json_object_new_int64(plug->qemu_fd));
    execute(plug, "remove-fd", arguments, on_fd_removed);
}

static void add_memory(MuxPlug *plug)
{
    json_object *arguments = one("qom-type", json_object_new_string("memory-backend-file"));
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%" G_GINT64_FORMAT, plug->qemu_fd);

    json_object_object_add(arguments, "id", json_object_new_string(plug->memory));
    json_object_object_add(arguments, "mem-path", json_object_new_string(path));
    json_object_object_add(arguments, "size", json_object_new_int64((int64_t)plug->size));
    json_object_object_add(arguments, "share", json_object_new_boolean(true));
    if (plug->readonly)
        json_object_object_add(arguments, "readonly", json_object_new_boolean(true));
    execute(plug, "object-add", arguments, on_memory_added);
}

static void on_fd_added(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxPlug *plug = user;
    json_object *fd, *set;

    // Not wanted any more? It goes on all the same until QEMU has given the descriptor back.
    if (error) {
        (void)goes_on(plug, error);
        return;
    }
    if (!json_object_object_get_ex(untrusted_answer, "fd", &fd) ||
        !json_object_object_get_ex(untrusted_answer, "fdset-id", &set)) {
        undo(plug, "QEMU does not say which descriptor it got");
        return;
    }
    plug->qemu_fd = json_object_get_int64(fd);
    plug->fdset = json_object_get_int64(set);
    add_memory(plug);
}

static void on_place(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxPlug *plug = user;

    if (!goes_on(plug, error))
        return;
    plug->full = mux_place_find(untrusted_answer, plug->size, plug->skip, &plug->place) != 0;
    if (plug->full)
        undo(plug, "no PCIe root port is free (each -device pcie-root-port takes one device)");
    else if (plug->has_memory)
        add_device(plug);
    else
        mux_qmp_execute(plug->qmp, "add-fd", one("opaque", json_object_new_string(plug->device)),
                        plug->fd, on_fd_added, plug);
}

static void find_place(MuxPlug *plug)
{
    execute(plug, "query-pci", NULL, on_place);
}

void mux_plug_add(MuxPlug *plug, int fd, uint64_t size, bool readonly)
{
    g_assert(plug->state == PLUG_OUT && size >= (1 << 20) && (size & (size - 1)) == 0);
    plug->state = PLUG_ADDING;
    plug->fd = fd;
    plug->size = size;
    plug->readonly = readonly;
    find_place(plug);
}

// --- what QEMU has

static void look_while_unfinished(MuxPlug *plug, bool device, bool memory)
{
    if (!plug->why)
        plug->why = g_strdup("the connection to QEMU's QMP was lost");
    if (device) {
        ask_to_let_go(plug);
    } else if (memory) {
        plug->state = PLUG_DELETING;
        delete_memory(plug, on_memory_deleted);
    } else {
        go_out(plug);
    }
}

void mux_plug_look(MuxPlug *plug, bool device, bool memory)
{
    if (plug->state == PLUG_OUT || (plug->state == PLUG_IN && device))
        return;
    set_timer(plug, 0, NULL);
    if (plug->state == PLUG_IN)
        plug->why = g_strdup("it is not in QEMU any more");
    // Asked for the first time on this connection.
    plug->state = PLUG_UNDOING;
    look_while_unfinished(plug, device, memory);
}

void mux_plug_adopt(MuxPlug *plug)
{
    plug->state = PLUG_IN;
    plug->has_memory = true;
}

// --- its life

MuxPlug *mux_plug_new(MuxQmp *qmp, uint64_t id, const MuxPlugEvents *events, void *user)
{
    MuxPlug *plug = g_new0(MuxPlug, 1);

    plug->qmp = qmp;
    plug->events = events;
    plug->user = user;
    plug->fd = -1;
    plug->device = g_strdup_printf(MUX_PLUG_PREFIX "%016" G_GINT64_MODIFIER "x", id);
    plug->memory = g_strconcat(plug->device, "-memory", NULL);
    return plug;
}

MuxPlug *mux_plug_free(MuxPlug *plug)
{
    if (!plug)
        return NULL;
    mux_qmp_cancel(plug->qmp, plug);
    set_timer(plug, 0, NULL);
    g_free(plug->why);
    g_free(plug->device);
    g_free(plug->memory);
    g_free(plug);
    return NULL;
}

bool mux_plug_is_in(const MuxPlug *plug)
{
    return plug->state == PLUG_IN || plug->state == PLUG_REMOVING;
}

const char *mux_plug_device(const MuxPlug *plug)
{
    return plug->device;
}

const MuxPlace *mux_plug_place(const MuxPlug *plug)
{
    return &plug->place;
}
