// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Registering a service. The request is all that is said on the connection; from then on it is
// listener.c that reads what comes.

#include <string.h>

#include "listener.h"
#include "properties.h"
#include "result.h"
#include "text.h"

static void put_vms(MuxClientText *text, const MuxClientListenOptions *options)
{
    if (!options->vms)
        return;
    mux_client_text_put(text, ",\"vms\":[");
    for (size_t i = 0; options->vms[i]; i++) {
        mux_client_text_put(text, i ? "," : "");
        mux_client_text_put_string(text, options->vms[i]);
    }
    mux_client_text_put(text, "]");
}

static void put_limit(MuxClientText *text, const char *key, uint32_t value)
{
    if (value == 0)
        return;
    mux_client_text_put(text, ",");
    mux_client_text_put_string(text, key);
    mux_client_text_put(text, ":");
    mux_client_text_put_number(text, value);
}

static void put_request(MuxClientText *text, const char *service,
                        const MuxClientListenOptions *options)
{
    mux_client_text_put(text, "{\"verb\":\"register\",\"accept\":\"fd\",\"service\":");
    mux_client_text_put_string(text, service);
    if (options->description) {
        mux_client_text_put(text, ",\"description\":");
        mux_client_text_put_string(text, options->description);
    }
    mux_client_properties_put(text, options->properties, options->n_properties);
    put_vms(text, options);
    put_limit(text, "max_channels", options->max_channels);
    put_limit(text, "max_opens_per_second", options->max_opens_per_second);
    mux_client_text_put(text, "}\n");
}

int mux_client_listen(const char *socket, const char *service,
                      const MuxClientListenOptions *options, int timeout_ms,
                      MuxClientRefusal *ret_refusal, MuxClientListener **ret_listener)
{
    static const MuxClientListenOptions defaults = {0};
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    MuxClientText request = {0};
    MuxClientListener *listener = NULL;
    MuxClientJson answer;

    put_request(&request, service, options ? options : &defaults);
    int r = mux_client_listener_new(&listener);
    if (request.failed)
        r = -ENOMEM;
    else if (request.length > MUX_CLIENT_REQUEST_MAX)
        r = mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_REQUEST,
                                   "all that is said of the service is too long");
    if (r == 0)
        r = mux_client_control_open(socket, MUX_CLIENT_EVENT_MAX, deadline, ret_refusal,
                                    &listener->lines);
    if (r == 0)
        r = mux_client_control_ask(&listener->lines, request.bytes, request.length, deadline,
                                   ret_refusal, &answer);
    mux_client_text_deinit(&request);
    if (r == 0)
        *ret_listener = listener;
    else
        mux_client_listener_free(listener);
    return r;
}
