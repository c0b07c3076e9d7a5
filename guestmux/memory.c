// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The channel @memory, which this side opens. What the host says is done at once or begun; what is
// to be answered waits in `says` until the channel has room. It is bounded: the host asks for no
// more than that, or it does not read, and then the channel ends.
//
// Without the channel there is nobody to ask, and what programs have of the host's memory ends;
// with the session alone it does not, since the host may come back and still have it.

#include "memory.h"

#include <gio/gio.h>
#include <string.h>

#include "memory-private.h"
#include "relay/json.h"

#define SAYS_MOST    1024
#define CREATES_MOST 256 // lines that wait, when programs here want a buffer

static MuxMemory *memory_of(const MuxLink *link)
{
    return link->relay->memory_user;
}

// --- what goes

void mux_memory_say(MuxMemory *memory, json_object *line)
{
    if (!memory->lines || !mux_lines_are_open(memory->lines)) {
        json_object_put(line);
        return;
    }
    g_queue_push_tail(&memory->says, line);
    mux_lines_kick(memory->lines);
}

bool mux_memory_is_busy(const MuxMemory *memory)
{
    return memory->says.length >= CREATES_MOST;
}

static json_object *next_line(void *user)
{
    MuxMemory *memory = user;
    json_object *line = g_queue_pop_head(&memory->says);

    return line ? line : mux_shares_next(memory);
}

static void forget_says(MuxMemory *memory)
{
    json_object *line;

    while ((line = g_queue_pop_head(&memory->says)))
        json_object_put(line);
}

// --- what comes

static bool take_about(MuxMemory *memory, const char *key, const char *untrusted_id,
                       json_object *untrusted_line, GError **error)
{
    uint64_t id;

    if (!mux_id_read(untrusted_id, &id))
        return mux_nonsense(error, "an id that is none");
    if (strcmp(key, "may") == 0)
        return mux_may_take(memory, id, error);
    if (strcmp(key, "gone") == 0)
        return mux_bar_take_gone(memory, id, untrusted_line, error);
    return mux_bar_take(memory, id, untrusted_line, error);
}

static bool take_line(void *user, json_object *untrusted_line, GError **error)
{
    static const char *const about[] = {"may", "gone", "device"};
    MuxMemory *memory = user;
    const char *buffer = NULL;

    if (g_queue_get_length(&memory->says) > SAYS_MOST)
        return mux_nonsense(error, "it asks, and does not read the answers");
    if (!mux_json_string(untrusted_line, "buffer", &buffer, error))
        return false;
    if (buffer)
        return mux_share_take(memory, buffer, untrusted_line, error);
    if (json_object_object_get_ex(untrusted_line, "region", NULL))
        return mux_region_take(memory, untrusted_line, error);
    if (json_object_object_get_ex(untrusted_line, "request", NULL))
        return mux_share_take_error(memory, untrusted_line, error);
    for (size_t i = 0; i < G_N_ELEMENTS(about); i++) {
        const char *id = NULL;
        if (!mux_json_string(untrusted_line, about[i], &id, error))
            return false;
        if (id)
            return take_about(memory, about[i], id, untrusted_line, error);
    }
    if (json_object_object_get_ex(untrusted_line, "ready", NULL))
        mux_shares_listed(memory);
    return true; // or it is something of a later version
}

// --- beginning and end

// Nothing is told or asked any more, in this session.
static void close_channel(MuxMemory *memory, bool lost)
{
    if (memory->lines)
        mux_lines_end(memory->lines);
    forget_says(memory);
    mux_mays_end(memory);
    mux_shares_down(memory, lost);
    mux_bars_down(memory);
}

static void on_ended(void *user, bool refused)
{
    MuxMemory *memory = user;

    if (!refused)
        mux_link_log(memory->link, G_LOG_LEVEL_WARNING,
                     "the channel " MUX_MEMORY_NAME " ended; no memory is shared in this session");
    close_channel(memory, true);
}

static void on_up(MuxLink *link)
{
    static const MuxLinesEvents events = {take_line, next_line, on_ended};
    MuxMemory *memory = memory_of(link);
    MuxSessionInfo info;

    memory->link = link;
    memory->listed = false;
    if (!memory->lines)
        memory->lines = mux_lines_new(link, MUX_MEMORY_NAME, &events, memory);
    mux_session_info(link->session, &info);
    if (!(info.features & MUX_FEATURE_MEMORY) || !mux_lines_open(memory->lines))
        close_channel(memory, true);
}

static void on_down(MuxLink *link)
{
    MuxMemory *memory = memory_of(link);

    if (memory->link)
        close_channel(memory, false);
}

static void on_free(MuxLink *link)
{
    mux_memory_free(memory_of(link));
}

static void on_changed(void *user)
{
    mux_bars_changed(user);
}

MuxMemory *mux_memory_new(MuxRelay *relay, const char *folder, GError **error)
{
    static const MuxMemoryKind kind = {
        .up = on_up,
        .down = on_down,
        .free = on_free,
        .create = mux_share_create,
        .set = mux_share_set,
        .release = mux_share_release,
        .idle = mux_share_idle,
        .memory = mux_share_memory,
    };
    MuxMemory *memory = g_new0(MuxMemory, 1);

    memory->relay = relay;
    g_queue_init(&memory->says);
    mux_list_init(&memory->bars);
    mux_list_init(&memory->mays);
    memory->devices = mux_devices_new(relay->loop, folder, on_changed, memory, error);
    if (!memory->devices)
        return mux_memory_free(memory);
    memory->holders = mux_holders_new(memory->devices, !folder);
    relay->memory = &kind;
    relay->memory_user = memory;
    return memory;
}

MuxMemory *mux_memory_free(MuxMemory *memory)
{
    MuxList *node;

    if (!memory)
        return NULL;
    mux_shares_free(memory);
    mux_mays_end(memory);
    while ((node = mux_list_first(&memory->bars)))
        mux_bar_free(mux_container(node, MuxBar, node));
    forget_says(memory);
    mux_lines_free(memory->lines);
    mux_holders_free(memory->holders);
    mux_devices_free(memory->devices);
    g_free(memory);
    return NULL;
}
