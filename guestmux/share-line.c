// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the host says of buffers. One that it names is what a program here has asked for, one that
// is known already, or one of its own; what does not fit is not taken.

#include <string.h>

#include "memory-private.h"
#include "relay/json.h"

#define OWNER_MAX 255 // bytes of a VM's name
#define SHOWN_MAX 300 // bytes of the host's text

typedef struct Line {
    MuxBufferFacts facts;
    const char *device;
    int64_t request; // 0: none
} Line;

static bool read_line(const char *name, json_object *untrusted, Line *ret_line, GError **error)
{
    guint64 size = 0, request = 0, uid = (uid_t)-1, gid = (gid_t)-1;
    MuxBufferFacts *facts = &ret_line->facts;

    *ret_line = (Line){.facts = {.name = name, .owner = "host"}};
    if (!mux_json_string(untrusted, "device", &ret_line->device, error) ||
        !mux_json_string(untrusted, "owner", &facts->owner, error) ||
        !mux_json_string(untrusted, "program", &facts->program, error) ||
        !mux_json_string(untrusted, "read_only_for", &facts->read_only_for, error) ||
        !mux_json_object(untrusted, "properties", &facts->properties, error) ||
        !mux_json_number(untrusted, "size", 1, G_MAXINT64, &size, error) ||
        !mux_json_number(untrusted, "request", 1, G_MAXINT64, &request, error) ||
        !mux_json_number(untrusted, "uid", 0, G_MAXUINT32, &uid, error) ||
        !mux_json_number(untrusted, "gid", 0, G_MAXUINT32, &gid, error))
        return false;
    if (!ret_line->device || !mux_id_read(ret_line->device, &facts->id))
        return mux_nonsense(error, "a buffer without a device");
    if (strlen(facts->owner) > OWNER_MAX)
        return mux_nonsense(error, "an owner with too long a name");
    facts->size = size;
    facts->uid = (uid_t)uid;
    facts->gid = (gid_t)gid;
    ret_line->request = (int64_t)request;
    return true;
}

static MuxShare *find_request(const MuxMemory *memory, int64_t request)
{
    MuxBuffer *buffer = NULL;

    while (request && (buffer = mux_buffers_next(memory->link, buffer))) {
        MuxShare *share = buffer->memory;
        if (share && share->request == request && buffer->state == MUX_BUFFER_MAKING)
            return share;
    }
    return NULL;
}

// The device was proved, and it has the size that it should have.
static bool is_usable(const MuxBar *bar, uint64_t size)
{
    return bar && bar->state == MUX_BAR_PROVED && !bar->share && !bar->is_region &&
           bar->size == size;
}

static void use(MuxShare *share, MuxBar *bar)
{
    share->bar = bar;
    bar->share = share;
    share->request = 0;
    share->named = true;
    if (share->timer)
        g_source_remove(share->timer);
    share->timer = 0;
    share->buffer->id = bar->id;
    mux_buffer_ready(share->buffer);
}

// What was asked for here is there.
static void made(MuxShare *share, MuxBar *bar, uint64_t id)
{
    if (is_usable(bar, share->buffer->size)) {
        use(share, bar);
        return;
    }
    mux_share_say_release(share->memory, share->buffer->name, id, "reset");
    mux_share_fail(share, "failed", "the host gave other memory than was asked for");
}

static void take_new(MuxMemory *memory, const Line *line)
{
    MuxBar *bar = mux_bar_find(memory, line->facts.id);
    MuxBuffer *other = mux_buffers_find(memory->link, line->facts.name);
    MuxBufferError why = {NULL, "its device was not proved"};
    MuxBuffer *buffer = NULL;

    // Asked for here at the same time: the host was first.
    if (other && other->state == MUX_BUFFER_MAKING && other->memory)
        mux_share_fail(other->memory, "exists", "there is a buffer of that name");
    if (is_usable(bar, line->facts.size))
        buffer = mux_buffers_add(memory->link, &line->facts, &why);
    if (buffer) {
        use(mux_share_new(buffer), bar);
        return;
    }
    mux_link_log(memory->link, G_LOG_LEVEL_WARNING, "a buffer of the host's is not taken: %s",
                 why.text);
    mux_share_say_release(memory, line->facts.name, line->facts.id, "reset");
}

static bool take_again(MuxBuffer *buffer, const Line *line, GError **error)
{
    MuxShare *share = buffer->memory;

    if (share)
        share->named = true;
    if (buffer->state != MUX_BUFFER_READY || !line->facts.properties)
        return true;
    return mux_buffer_changed(buffer, line->facts.properties, error);
}

bool mux_share_take(MuxMemory *memory, const char *untrusted_name, json_object *untrusted_line,
                    GError **error)
{
    Line line;

    if (!read_line(untrusted_name, untrusted_line, &line, error))
        return false;
    MuxBuffer *buffer = mux_buffers_find_id(memory->link, line.facts.id);
    MuxShare *share = find_request(memory, line.request);
    if (buffer)
        return take_again(buffer, &line, error);
    if (share)
        made(share, mux_bar_find(memory, line.facts.id), line.facts.id);
    // It was given up here, perhaps too late for the host to hear of it in time; or it is of an
    // earlier life.
    else if (line.request > 0 || (!memory->listed && strcmp(line.facts.owner, "guest") == 0))
        mux_share_say_release(memory, line.facts.name, line.facts.id,
                              line.request > 0 ? "owner" : "reset");
    else
        take_new(memory, &line);
    return true;
}

// One of those that programs are told; the text is the host's.
static const char *known_code(const char *untrusted_code)
{
    static const char *const codes[] = {"bad-request", "bad-name", "bad-size",  "exists",
                                        "no-buffer",   "denied",   "limit",     "no-memory",
                                        "link-down",   "timeout",  "unmappable"};

    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (strcmp(untrusted_code, codes[i]) == 0)
            return codes[i];
    return "failed";
}

bool mux_share_take_error(MuxMemory *memory, json_object *untrusted_line, GError **error)
{
    const char *code = "failed", *text = "the host says no more";
    json_object *why = NULL;
    guint64 request = 0;

    if (!mux_json_number(untrusted_line, "request", 1, G_MAXINT64, &request, error) ||
        !mux_json_object(untrusted_line, "error", &why, error) ||
        (why && (!mux_json_string(why, "code", &code, error) ||
                 !mux_json_string(why, "text", &text, error))))
        return false;
    MuxShare *share = find_request(memory, (int64_t)request);
    g_autofree char *shown = mux_printable(text, SHOWN_MAX);
    if (share)
        mux_share_fail(share, known_code(code), shown);
    return true;
}
