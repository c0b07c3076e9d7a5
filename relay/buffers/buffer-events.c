// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer whose property "application" changes, went for those who asked for the old one, and came
// for those who asked for the new one.

#include "buffer-events.h"

#include "buffer-json.h"
#include "buffers-private.h"
#include "relay/events.h"
#include "relay/link.h"

static json_object *event_new(const char *name, const MuxBuffer *buffer, const char *reason)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string(name));
    json_object_object_add(event, "buffer", mux_buffer_json(buffer));
    if (reason)
        json_object_object_add(event, "reason", json_object_new_string(reason));
    return event;
}

static void publish(const MuxBuffer *buffer, const char *name, const char *reason,
                    MuxListeners listeners, const char *application)
{
    MuxControls *controls = buffer->link->relay->controls;
    const MuxAudience audience = {
        .buffer = buffer, .listeners = listeners, .application = application};

    if (mux_controls_want(controls, MUX_TOPIC_BUFFERS))
        mux_controls_publish(controls, MUX_TOPIC_BUFFERS, event_new(name, buffer, reason),
                             &audience);
}

static void remember(MuxBuffer *buffer)
{
    g_free(buffer->application);
    buffer->application = g_strdup(mux_buffer_application(buffer));
}

void mux_event_buffer_added(MuxBuffer *buffer)
{
    buffer->added = true;
    remember(buffer);
    publish(buffer, "buffer-added", NULL, MUX_LISTENERS_ALL, buffer->application);
}

void mux_event_buffer_changed(MuxBuffer *buffer)
{
    const char *application = mux_buffer_application(buffer);

    if (!buffer->added)
        return;
    if (g_strcmp0(application, buffer->application) == 0) {
        publish(buffer, "buffer-changed", NULL, MUX_LISTENERS_ALL, application);
        return;
    }
    publish(buffer, "buffer-changed", NULL, MUX_LISTENERS_OF_ANY, NULL);
    publish(buffer, "buffer-removed", "application", MUX_LISTENERS_OF_ONE, buffer->application);
    publish(buffer, "buffer-added", NULL, MUX_LISTENERS_OF_ONE, application);
    remember(buffer);
}

void mux_event_buffer_removed(MuxBuffer *buffer, const char *reason)
{
    if (!buffer->added)
        return;
    buffer->added = false;
    publish(buffer, "buffer-removed", reason, MUX_LISTENERS_ALL, buffer->application);
}

static void tell(MuxControl *control, const MuxBuffer *buffer)
{
    const MuxAudience audience = {.buffer = buffer, .application = buffer->application};

    if (mux_control_may_see(control, &audience))
        mux_control_tell(control, event_new("buffer-added", buffer, NULL));
}

void mux_event_buffers_present(MuxControl *control)
{
    const MuxRelay *relay = mux_control_relay(control);

    for (guint i = 0; i < relay->links->len; i++) {
        const MuxLink *link = g_ptr_array_index(relay->links, i);
        const MuxBuffer *buffer = NULL;
        while ((buffer = mux_buffers_next(link, buffer)))
            if (buffer->added)
                tell(control, buffer);
    }
}
