// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A stream of events. Which events there are is one table. The strings of an event are decoded into
// memory that the stream keeps, and the line is lent as it was read.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "event.h"
#include "text.h"

struct MuxClientEvents {
    MuxClientLines lines; // the control connection
    bool host;            // of hostmux
    MuxClientEventBox box;
};

static void put_request(MuxClientText *text, unsigned which)
{
    static const char *const names[] = {"services", "links", "channels", "buffers"};
    const char *before = ",\"only\":[";

    mux_client_text_put(text, "{\"verb\":\"events\"");
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!(which >> i & 1))
            continue;
        mux_client_text_put(text, before);
        mux_client_text_put_string(text, names[i]);
        before = ",";
    }
    mux_client_text_put(text, which & 15 ? "]}\n" : "}\n");
}

// Takes over the request.
static int subscribe(const char *socket, MuxClientText *request, int timeout_ms,
                     MuxClientRefusal *ret_refusal, MuxClientEvents **ret_events)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    MuxClientJson answer;
    int r = request->failed ? -ENOMEM : 0;

    MuxClientEvents *events = calloc(1, sizeof(*events));
    if (events)
        events->lines.fd = -1;
    else
        r = -ENOMEM;
    if (r == 0)
        r = mux_client_control_open(socket, MUX_CLIENT_EVENT_MAX, deadline, ret_refusal,
                                    &events->lines);
    if (r == 0)
        r = mux_client_control_ask(&events->lines, request->bytes, request->length, deadline,
                                   ret_refusal, &answer);
    if (r == 0)
        events->host = mux_client_is_host(answer);
    mux_client_text_deinit(request);
    if (r == 0)
        *ret_events = events;
    else
        mux_client_events_free(events);
    return r;
}

int mux_client_events(const char *socket, unsigned which, int timeout_ms,
                      MuxClientRefusal *ret_refusal, MuxClientEvents **ret_events)
{
    MuxClientText request = {0};

    put_request(&request, which);
    return subscribe(socket, &request, timeout_ms, ret_refusal, ret_events);
}

int mux_client_buffer_events(const char *socket, const char *application, int timeout_ms,
                             MuxClientRefusal *ret_refusal, MuxClientEvents **ret_events)
{
    MuxClientText request = {0};

    mux_client_text_put(&request, "{\"verb\":\"events\",\"only\":[\"buffers\"]");
    if (application) {
        mux_client_text_put(&request, ",\"application\":");
        mux_client_text_put_string(&request, application);
    }
    mux_client_text_put(&request, "}\n");
    return subscribe(socket, &request, timeout_ms, ret_refusal, ret_events);
}

void mux_client_events_free(MuxClientEvents *events)
{
    if (!events)
        return;
    mux_client_lines_deinit(&events->lines);
    mux_client_event_box_deinit(&events->box);
    free(events);
}

int mux_client_events_fd(const MuxClientEvents *events)
{
    return events->lines.fd;
}

int mux_client_next_event(MuxClientEvents *events, int timeout_ms, const MuxClientEvent **ret_event)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    MuxClientJson object;

    int r = mux_client_control_next(&events->lines, deadline, &object);
    if (r == 0)
        r = mux_client_event_box_fill(&events->box, object, events->host);
    if (r == 0) {
        events->box.event.line = events->lines.bytes;
        events->box.event.line_length = events->lines.length - 1;
        *ret_event = &events->box.event;
    }
    return r == MUX_CLIENT_TIMEOUT && timeout_ms == 0 ? MUX_CLIENT_AGAIN : r;
}
