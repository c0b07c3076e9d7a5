// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Events are put behind what waits to be written as long as that is short; then they are dropped,
// and the client is told how many when it has read what there was.

#include <errno.h>
#include <string.h>

#include "buffers/buffers.h"
#include "control-private.h"
#include "pass.h"
#include "policy.h"

// Of events, for one client.
#define EVENTS_HELD_MAX (256 * 1024)

typedef struct Line {
    const char *text; // without its end
    size_t length;
} Line;

// Lent by the event.
static Line line_of(json_object *event)
{
    Line line = {0};

    if (event)
        line.text = mux_control_text(event, &line.length);
    return line;
}

static void put_line(MuxControl *control, const Line *line)
{
    mux_control_append(control, line->text, line->length);
    mux_control_append(control, "\n", 1);
}

static void put_event(MuxControl *control, const Line *line)
{
    if (control->lossy || control->answer.size > EVENTS_HELD_MAX ||
        !mux_asker_reads(control->asker)) {
        control->lossy = true;
        control->lost++;
    } else {
        put_line(control, line);
    }
    mux_watch_want(&control->watch, mux_control_wanted(control));
}

// --- for subscribers

bool mux_controls_want(const MuxControls *controls, unsigned topic)
{
    return controls && controls->topics & topic;
}

static bool listens(const MuxControl *control, const MuxAudience *audience)
{
    bool fits = g_strcmp0(control->application, audience->application) == 0;

    switch (audience->listeners) {
    case MUX_LISTENERS_ALL:
        return !control->application || fits;
    case MUX_LISTENERS_OF_ANY:
        return !control->application;
    case MUX_LISTENERS_OF_ONE:
        break;
    }
    return control->application && fits;
}

bool mux_control_may_see(const MuxControl *control, const MuxAudience *audience)
{
    if (audience && audience->buffer)
        return mux_buffer_may_open(audience->buffer, &control->peer) && listens(control, audience);
    return !audience || !audience->service ||
           mux_policy_allows(control->controls->relay->policy, MUX_POLICY_OPEN, audience->service,
                             strlen(audience->service), &control->peer);
}

static bool sees_name(const MuxControl *control, const MuxAudience *audience)
{
    return audience && audience->name &&
           (mux_peer_is_privileged(&control->peer) || control->peer.uid == audience->owner);
}

static void set_service(json_object *event, const char *name)
{
    // An argument may be any bytes, but JSON is UTF-8.
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    json_object_object_add(event, "service", json_object_new_string(valid));
}

void mux_controls_publish(MuxControls *controls, unsigned topic, json_object *event,
                          const MuxAudience *audience)
{
    json_object *whole = NULL;

    if (audience && audience->name && json_object_deep_copy(event, &whole, NULL) == 0)
        set_service(whole, audience->name);
    const Line line = line_of(event), whole_line = line_of(whole);
    for (MuxList *node = controls->list.next; node != &controls->list; node = node->next) {
        MuxControl *control = mux_container(node, MuxControl, node);
        if (control->topics & topic && mux_control_may_see(control, audience))
            put_event(control, whole && sees_name(control, audience) ? &whole_line : &line);
    }
    json_object_put(whole);
    json_object_put(event);
}

void mux_control_tell(MuxControl *control, json_object *event)
{
    const Line line = line_of(event);

    put_event(control, &line);
    json_object_put(event);
}

// --- for registrants

bool mux_control_takes(const MuxControl *control)
{
    return control->answer.size == 0 && !control->full;
}

int mux_control_hand(MuxControl *control, json_object *event, int fd)
{
    size_t length;
    const char *text = mux_control_text(event, &length);
    const struct iovec pieces[] = {{(void *)text, length}, {(void *)"\n", 1}};
    ssize_t n = mux_pass(control->watch.fd, pieces, 2, fd);
    int r = n >= 0 ? 0 : errno == EAGAIN ? MUX_CONTROL_BUSY : -errno;

    if (r == MUX_CONTROL_BUSY) {
        control->full = true;
        mux_watch_drained(&control->watch, EPOLLOUT);
        mux_watch_want(&control->watch, mux_control_wanted(control));
    }
    if (n >= 0 && (size_t)n < length + 1) {
        if ((size_t)n < length)
            mux_control_append(control, text + n, length - (size_t)n);
        mux_control_append(control, "\n", 1);
        mux_watch_want(&control->watch, mux_control_wanted(control));
    }
    json_object_put(event);
    return r;
}

void mux_control_unregistered(MuxControl *control, const char *service, const char *why)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string("unregistered"));
    json_object_object_add(event, "service", json_object_new_string(service));
    json_object_object_add(event, "reason", json_object_new_string(why));
    // Not dropped, whatever waits: there is one for each registration at most.
    const Line line = line_of(event);
    put_line(control, &line);
    mux_watch_want(&control->watch, mux_control_wanted(control));
    json_object_put(event);
}

void mux_controls_ask_anew(MuxControls *controls, unsigned topic)
{
    for (MuxList *node = controls->list.next; node != &controls->list; node = node->next) {
        MuxControl *control = mux_container(node, MuxControl, node);
        if (!(control->topics & topic))
            continue;
        control->lossy = true;
        mux_watch_want(&control->watch, mux_control_wanted(control));
    }
}
