// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A device that is to go is taken from the programs that have it by a handle, and then it is seen
// who else has it. The host unplugs it only if nobody does. If somebody does, it is HELD, and
// looked at again from time to time, until he is gone; its share stays that long, so that it can be
// seen in the list.

#include <errno.h>
#include <string.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/sources.h"

#define AGAIN_MS  2000
#define MAYS_MOST 16

typedef struct May {
    MuxMemory *memory;
    MuxList node;
    uint64_t id;
    MuxSearch search;
} May;

static void say_holders(MuxMemory *memory, uint64_t id, unsigned holders)
{
    json_object *line = mux_id_line("gone", id);

    json_object_object_add(line, "holders", json_object_new_int64(holders));
    mux_memory_say(memory, line);
}

// Why it is not known who has something, to be freed.
static char *doubt(const MuxSearch *search)
{
    if (search->error == -EACCES)
        return g_strdup_printf("guestmux may not see what process %d (%s) maps; it needs "
                               "CAP_SYS_PTRACE",
                               search->pid, search->program);
    if (search->error == -EAGAIN)
        return g_strdup("processes begin too fast to be looked at");
    return g_strdup_printf("processes cannot be looked at: %s", g_strerror(-search->error));
}

// --- one device

static void start_search(MuxBar *bar);

static gboolean on_again(gpointer user)
{
    MuxBar *bar = user;

    bar->timer = 0;
    start_search(bar);
    return G_SOURCE_REMOVE;
}

static void free_it(MuxBar *bar)
{
    if (bar->share)
        mux_share_end(bar->share);
    else
        mux_bar_free(bar);
}

static void log_holders(const MuxBar *bar)
{
    const MuxSearch *search = &bar->search;
    g_autofree char *why =
        search->holders == 0 ? doubt(search)
        : search->pid == 0
            ? g_strdup("somebody has it who does not show; its descriptor may be "
                       "on its way in a socket")
            : g_strdup_printf("process %d (%s) has it", search->pid, search->program);

    mux_link_log(bar->memory->link, G_LOG_LEVEL_MESSAGE, "memory cannot be given back: %s", why);
}

static void hold(MuxBar *bar, unsigned holders)
{
    if (bar->told != holders) {
        log_holders(bar);
        say_holders(bar->memory, bar->id, holders);
    }
    bar->told = holders;
    bar->state = MUX_BAR_HELD;
    if (bar->share)
        mux_buffer_held(bar->share->buffer);
    bar->timer = mux_source_timeout(AGAIN_MS, on_again, bar);
}

static void on_searched(MuxSearch *search)
{
    MuxBar *bar = mux_container(search, MuxBar, search);
    MuxMemory *memory = bar->memory;
    const uint64_t id = bar->id;

    if (search->holders > 0 || search->error) {
        hold(bar, MAX(search->holders, 1));
        return;
    }
    free_it(bar); // guestmux does not have it either, when the host hears so
    say_holders(memory, id, 0);
}

static void start_search(MuxBar *bar)
{
    if (!mux_search_is_under_way(&bar->search))
        mux_search_start(&bar->search, bar->memory->holders, bar->device, on_searched);
}

void mux_bar_idle(MuxBar *bar)
{
    if (bar->state == MUX_BAR_GOING)
        start_search(bar);
}

// One that this side does not know: of an earlier life.
static MuxBar *adopt(MuxMemory *memory, uint64_t id, const char *address)
{
    MuxDevice *device = address ? mux_devices_at(memory->devices, address) : NULL;
    MuxBar *bar = device ? mux_bar_new(memory, id) : NULL;

    if (bar)
        bar->device = device;
    else
        mux_device_free(device);
    return bar;
}

// The reason as this side's programs are told.
static const char *reason(json_object *untrusted_line)
{
    static const char *const reasons[] = {"released", "owner", "reset", "link-down"};
    const char *untrusted = NULL;

    if (mux_json_string(untrusted_line, "reason", &untrusted, NULL) && untrusted)
        for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++)
            if (strcmp(untrusted, reasons[i]) == 0)
                return reasons[i];
    return "owner";
}

static void go(MuxBar *bar, const char *why)
{
    MuxBuffer *buffer = bar->share ? bar->share->buffer : NULL;

    if (bar->timer)
        g_source_remove(bar->timer);
    bar->timer = 0;
    bar->told = 0;
    bar->state = MUX_BAR_GOING;
    mux_region_end(bar);
    if (buffer) {
        bar->share->forsaken = false; // the host does ask for it
        mux_buffer_gone(buffer, why);
    }
    if (!buffer || buffer->idled)
        start_search(bar);
}

bool mux_bar_take_gone(MuxMemory *memory, uint64_t id, json_object *untrusted_line, GError **error)
{
    const char *address = NULL;
    MuxBar *bar = mux_bar_find(memory, id);

    if (!mux_json_string(untrusted_line, "address", &address, error))
        return false;
    if (bar && !bar->device) {
        mux_bar_free(bar);
        bar = NULL;
    }
    if (!bar)
        bar = adopt(memory, id, address);
    if (bar)
        go(bar, reason(untrusted_line));
    else
        say_holders(memory, id, 0);
    return true;
}

// --- memory of devices that were unplugged

static void may_free(May *may)
{
    mux_search_cancel(&may->search);
    mux_list_remove(&may->node);
    may->memory->n_mays--;
    g_free(may);
}

// Somebody who is not seen; of what was unplugged before guestmux began nothing is known.
static bool is_held_unseen(const MuxMemory *memory)
{
    for (const MuxList *node = memory->bars.next; node != &memory->bars; node = node->next) {
        const MuxDevice *device = mux_container(node, MuxBar, node)->device;
        if (device && !mux_device_is_there(device) && mux_device_is_alone(device) == 0)
            return true;
    }
    return mux_devices_are_held(memory->devices);
}

static void on_may_searched(MuxSearch *search)
{
    May *may = mux_container(search, May, search);
    json_object *line = mux_id_line("may", may->id);
    g_autofree char *why = NULL;

    if (search->error)
        why = doubt(search);
    else if (search->holders > 0)
        why = g_strdup_printf("process %d (%s) still maps memory that was unplugged", search->pid,
                              search->program);
    else if (is_held_unseen(may->memory))
        why = g_strdup("somebody who does not show still has memory that was unplugged");
    if (why) {
        mux_line_text(line, "error", why);
        mux_link_log(may->memory->link, G_LOG_LEVEL_WARNING, "no memory can be shared: %s", why);
    }
    mux_memory_say(may->memory, line);
    may_free(may);
}

bool mux_may_take(MuxMemory *memory, uint64_t id, GError **error)
{
    (void)error;
    // Programs of the host that give up what they asked for make it ask again and again.
    if (memory->n_mays >= MAYS_MOST) {
        json_object *line = mux_id_line("may", id);
        mux_line_text(line, "error", "too much is asked for at once");
        mux_memory_say(memory, line);
        return true;
    }
    May *may = g_new0(May, 1);
    may->memory = memory;
    may->id = id;
    mux_list_init(&may->node);
    mux_list_append(&memory->mays, &may->node);
    memory->n_mays++;
    mux_search_init(&may->search);
    mux_search_start(&may->search, memory->holders, NULL, on_may_searched);
    return true;
}

void mux_mays_end(MuxMemory *memory)
{
    MuxList *node;

    while ((node = mux_list_first(&memory->mays)))
        may_free(mux_container(node, May, node));
}
