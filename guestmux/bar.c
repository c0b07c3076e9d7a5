// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A bar is what this side knows of a device that the host has named. It is SOUGHT until one of the
// devices that are plugged begins with the mark, TIME_US at most, and PROVED after that: the host
// is told what stands behind the mark, and what was written there. The host may have it proved
// again.
//
// It owns the MuxDevice; its share, if it has one, points to it and it to that.

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/random.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/sources.h"

#define BARS_MOST  (2 * MUX_BUFFERS_MOST) // a device that is going has no name any more
#define TIME_US    (5 * G_USEC_PER_SEC)
#define AGAIN_MS   100 // the kernel does not always tell when a device can be mapped
#define PROOF_AT   16
#define PROOF_SIZE 16
#define WROTE_AT   32

MuxBar *mux_bar_find(const MuxMemory *memory, uint64_t id)
{
    for (MuxList *node = memory->bars.next; node != &memory->bars; node = node->next) {
        MuxBar *bar = mux_container(node, MuxBar, node);
        if (bar->id == id)
            return bar;
    }
    return NULL;
}

MuxBar *mux_bar_new(MuxMemory *memory, uint64_t id)
{
    if (memory->n_bars >= BARS_MOST)
        return NULL;
    MuxBar *bar = g_new0(MuxBar, 1);
    bar->memory = memory;
    bar->id = id;
    mux_search_init(&bar->search);
    mux_list_init(&bar->node);
    mux_list_append(&memory->bars, &bar->node);
    memory->n_bars++;
    return bar;
}

static void stop_timer(MuxBar *bar)
{
    if (bar->timer)
        g_source_remove(bar->timer);
    bar->timer = 0;
}

void mux_bar_free(MuxBar *bar)
{
    mux_region_end(bar);
    stop_timer(bar);
    mux_search_cancel(&bar->search);
    if (bar->share)
        bar->share->bar = NULL;
    mux_devices_let_go(bar->memory->devices, bar->device);
    mux_list_remove(&bar->node);
    bar->memory->n_bars--;
    g_free(bar);
}

// --- proving

static void say_error(MuxMemory *memory, uint64_t id, const char *text)
{
    json_object *line = mux_id_line("device", id);

    mux_line_text(line, "error", text);
    mux_memory_say(memory, line);
}

static bool has_region(const MuxMemory *memory, MuxRegionSide side)
{
    for (const MuxList *node = memory->bars.next; node != &memory->bars; node = node->next) {
        const MuxBar *bar = mux_container(node, MuxBar, node);
        if (bar->is_region && bar->side == side)
            return true;
    }
    return false;
}

// What holds for every device is shown as why there are no regions.
static void complain(const MuxBar *bar, const char *text, bool always)
{
    MuxLink *link = bar->memory->link;
    MuxRegionSide side = bar->write ? MUX_REGION_OUT : MUX_REGION_IN;

    if (always && !has_region(bar->memory, side))
        mux_regions_say(link, side, "off", text);
    else
        mux_link_log(link, G_LOG_LEVEL_WARNING, "memory that the host shares: %s", text);
}

// It could not be proved. What a program has stays: the host says what becomes of it.
static void give_up(MuxBar *bar, const char *text, bool always)
{
    complain(bar, text, always);
    say_error(bar->memory, bar->id, text);
    stop_timer(bar);
    if (bar->share)
        bar->state = MUX_BAR_PROVED;
    else
        mux_bar_free(bar);
}

static void add_hex(json_object *line, const char *key, const uint8_t bytes[PROOF_SIZE])
{
    char text[MUX_HEX_SIZE(PROOF_SIZE)];

    mux_hex(bytes, PROOF_SIZE, text);
    mux_line_text(line, key, text);
}

// 0 or a negative errno.
static int prove(const MuxBar *bar, const MuxDevice *device, json_object *line)
{
    uint8_t proof[PROOF_SIZE], wrote[PROOF_SIZE];
    int r = mux_device_read(device, PROOF_AT, proof, sizeof(proof));

    if (r < 0)
        return r;
    add_hex(line, "proof", proof);
    if (!bar->write)
        return 0;
    if (getrandom(wrote, sizeof(wrote), 0) != sizeof(wrote))
        return -EIO;
    add_hex(line, "wrote", wrote);
    return mux_device_write(device, WROTE_AT, wrote, sizeof(wrote));
}

// `stays` may be the same device, and must not count as somebody else who has it.
static void drop(const MuxBar *bar, MuxDevice *device, const MuxDevice *stays)
{
    if (device && stays && device->inode == stays->inode)
        mux_device_free(device);
    else
        mux_devices_let_go(bar->memory->devices, device);
}

// `device` becomes the bar's.
static void found(MuxBar *bar, MuxDevice *device)
{
    json_object *line = mux_id_line("device", bar->id);
    int r = prove(bar, device, line);

    if (bar->share && bar->device && bar->device->inode != device->inode)
        r = -ESTALE; // what programs have mapped is another one
    if (r < 0) {
        json_object_put(line);
        drop(bar, device, bar->device);
        give_up(bar, g_strerror(-r), false);
        return;
    }
    stop_timer(bar);
    drop(bar, bar->device, device);
    bar->device = device;
    bar->state = MUX_BAR_PROVED;
    mux_memory_say(bar->memory, line);
}

static gboolean on_again(gpointer user);

// It may end here.
static void look(MuxBar *bar)
{
    g_autoptr(GError) error = NULL;
    MuxDevice *device = mux_devices_find(bar->memory->devices, bar->size, bar->mark, &error);
    bool never = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);

    if (device)
        found(bar, device);
    else if (never || (uint64_t)g_get_monotonic_time() >= bar->deadline_us)
        give_up(bar, error->message, never);
    else if (!bar->timer)
        bar->timer = mux_source_timeout(AGAIN_MS, on_again, bar);
}

static gboolean on_again(gpointer user)
{
    MuxBar *bar = user;

    bar->timer = 0;
    look(bar);
    return G_SOURCE_REMOVE;
}

// --- what the host says

static bool read_line(MuxBar *bar, json_object *untrusted_line, GError **error)
{
    json_object *write = NULL;
    const char *mark = NULL;

    if (!mux_json_number(untrusted_line, "size", 1, G_MAXINT64, &bar->size, error) ||
        !mux_json_string(untrusted_line, "mark", &mark, error))
        return false;
    if (bar->size == 0 || !mark || !mux_unhex(mark, bar->mark, sizeof(bar->mark)))
        return mux_nonsense(error, "a device without its size or mark");
    if (json_object_object_get_ex(untrusted_line, "write", &write))
        bar->write = json_object_get_boolean(write);
    return true;
}

bool mux_bar_take(MuxMemory *memory, uint64_t id, json_object *untrusted_line, GError **error)
{
    MuxBar read = {0}, *bar = mux_bar_find(memory, id);

    if (!read_line(&read, untrusted_line, error))
        return false;
    if (bar && bar->state != MUX_BAR_PROVED) {
        say_error(memory, id, "it is not there to be proved");
        return true;
    }
    if (!bar)
        bar = mux_bar_new(memory, id);
    if (!bar) {
        say_error(memory, id, "there are too many devices");
        return true;
    }
    bar->size = read.size;
    bar->write = read.write;
    memcpy(bar->mark, read.mark, sizeof(bar->mark));
    bar->state = MUX_BAR_SOUGHT;
    bar->deadline_us = (uint64_t)g_get_monotonic_time() + TIME_US;
    look(bar);
    return true;
}

// --- what happens

static void lost(MuxBar *bar)
{
    mux_devices_gone(bar->memory->devices, bar->device);
    if (bar->share)
        mux_share_lost(bar->share);
    else
        mux_bar_free(bar);
}

void mux_bars_changed(MuxMemory *memory)
{
    for (MuxList *node = memory->bars.next, *next; node != &memory->bars; node = next) {
        MuxBar *bar = mux_container(node, MuxBar, node);
        next = node->next;
        if (bar->state == MUX_BAR_SOUGHT)
            look(bar);
        else if (bar->state == MUX_BAR_PROVED && !mux_device_is_there(bar->device))
            lost(bar);
    }
}

void mux_bars_down(MuxMemory *memory)
{
    for (MuxList *node = memory->bars.next, *next; node != &memory->bars; node = next) {
        MuxBar *bar = mux_container(node, MuxBar, node);
        next = node->next;
        stop_timer(bar);
        // What is left of others the host names anew.
        if (!bar->share)
            mux_bar_free(bar);
        else if (bar->state == MUX_BAR_SOUGHT)
            bar->state = MUX_BAR_PROVED;
    }
}
