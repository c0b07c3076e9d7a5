// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer's beginning and end. The connection begins as a control connection does: a line asks, a
// line answers.

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "buffer.h"
#include "open.h"
#include "properties.h"
#include "result.h"
#include "text.h"

void mux_client_buffer_free(MuxClientBuffer *buffer)
{
    if (!buffer)
        return;
    // First the mapping: that the connection closes says that there is none any more.
    if (buffer->memory)
        (void)munmap(buffer->memory, buffer->size);
    mux_client_lines_deinit(&buffer->lines);
    mux_client_buffer_box_deinit(&buffer->box);
    free(buffer->payload);
    free(buffer->unsent);
    free(buffer);
}

static int ask(MuxClientBuffer *buffer, const char *socket, const char *name,
               const MuxClientText *request, MuxClientDeadline deadline,
               MuxClientRefusal *ret_refusal)
{
    MuxClientJson answer;
    int fd = -1;

    if (request->failed)
        return -ENOMEM;
    if (request->length > MUX_CLIENT_REQUEST_MAX)
        return mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_REQUEST,
                                      "all that is said of the buffer is too long");
    int r = mux_client_open(socket, "@buffer", deadline, ret_refusal, &fd);
    if (r != 0)
        return r;
    mux_client_lines_init(&buffer->lines, fd, MUX_CLIENT_EVENT_MAX);
    r = mux_client_control_ask(&buffer->lines, request->bytes, request->length, deadline,
                               ret_refusal, &answer);
    return r == 0 ? mux_client_buffer_map(buffer, answer, name) : r;
}

// Takes over the request.
static int open_buffer(const char *socket, const char *name, MuxClientText *request, int timeout_ms,
                       MuxClientRefusal *ret_refusal, MuxClientBuffer **ret_buffer)
{
    MuxClientBuffer *buffer = calloc(1, sizeof(*buffer));
    int r = -ENOMEM;

    if (buffer) {
        buffer->lines.fd = -1;
        r = ask(buffer, socket, name, request, mux_client_deadline(timeout_ms), ret_refusal);
    }
    mux_client_text_deinit(request);
    if (r == 0)
        *ret_buffer = buffer;
    else
        mux_client_buffer_free(buffer);
    return r;
}

static void put_options(MuxClientText *text, const MuxClientBufferOptions *options)
{
    mux_client_properties_put(text, options->properties, options->n_properties);
    if (options->read_only_for != MUX_CLIENT_NOBODY)
        mux_client_text_put(text, options->read_only_for == MUX_CLIENT_GUEST
                                      ? ",\"read_only_for\":\"guest\""
                                      : ",\"read_only_for\":\"host\"");
    if (options->from) {
        mux_client_text_put(text, ",\"from\":");
        mux_client_text_put_string(text, options->from);
    }
}

int mux_client_buffer_create(const char *socket, const char *name, uint64_t size,
                             const MuxClientBufferOptions *options, int timeout_ms,
                             MuxClientRefusal *ret_refusal, MuxClientBuffer **ret_buffer)
{
    MuxClientText request = {0};

    mux_client_text_put(&request, "{\"create\":");
    mux_client_text_put_string(&request, name);
    if (size > 0 || !options || !options->from) {
        mux_client_text_put(&request, ",\"size\":");
        mux_client_text_put_number(&request, size);
    }
    if (options)
        put_options(&request, options);
    mux_client_text_put(&request, "}\n");
    return open_buffer(socket, name, &request, timeout_ms, ret_refusal, ret_buffer);
}

int mux_client_buffer_open(const char *socket, const char *name, MuxClientBufferMode mode,
                           int timeout_ms, MuxClientRefusal *ret_refusal,
                           MuxClientBuffer **ret_buffer)
{
    MuxClientText request = {0};

    mux_client_text_put(&request, "{\"open\":");
    mux_client_text_put_string(&request, name);
    if (mode != MUX_CLIENT_BUFFER_AS_ALLOWED)
        mux_client_text_put(&request, mode == MUX_CLIENT_BUFFER_WRITE ? ",\"write\":true"
                                                                      : ",\"write\":false");
    mux_client_text_put(&request, "}\n");
    return open_buffer(socket, name, &request, timeout_ms, ret_refusal, ret_buffer);
}
