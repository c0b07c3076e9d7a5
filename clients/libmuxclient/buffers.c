// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the control connection has for buffers: the list, and ending somebody's.

#include <errno.h>
#include <stdlib.h>

#include "buffer-info.h"
#include "control.h"
#include "text.h"

typedef struct Table {
    MuxClientBuffers buffers; // first: it is what the caller has
    const MuxClientBufferInfo **pointers;
    MuxClientBufferBox *boxes;
} Table;

// Opens a control connection and asks one thing. The answer is lent by the lines.
static int ask(const char *socket, const MuxClientText *request, MuxClientDeadline deadline,
               MuxClientRefusal *ret_refusal, MuxClientLines *lines, MuxClientJson *ret_answer)
{
    if (request->failed)
        return -ENOMEM;
    int r = mux_client_control_open(socket, MUX_CLIENT_ANSWER_MAX, deadline, ret_refusal, lines);
    if (r != 0)
        return r;
    return mux_client_control_ask(lines, request->bytes, request->length, deadline, ret_refusal,
                                  ret_answer);
}

void mux_client_buffers_free(MuxClientBuffers *buffers)
{
    Table *table = (Table *)buffers;

    if (!table)
        return;
    for (size_t i = 0; i < buffers->count; i++)
        mux_client_buffer_box_deinit(&table->boxes[i]);
    free(table->pointers);
    free(table->boxes);
    free(table);
}

static Table *table_new(MuxClientJson list)
{
    Table *table = calloc(1, sizeof(*table));
    MuxClientJson value;
    size_t n = 0;

    if (!table)
        return NULL;
    for (MuxClientJson at = {0}; mux_client_json_next(list, &at, NULL, &value);)
        n += mux_client_json_is_object(value);
    table->pointers = calloc(n + 1, sizeof(const MuxClientBufferInfo *));
    table->boxes = calloc(n + 1, sizeof(*table->boxes));
    table->buffers.list = table->pointers;
    if (table->pointers && table->boxes)
        return table;
    mux_client_buffers_free(&table->buffers);
    return NULL;
}

static int read_buffers(MuxClientJson answer, MuxClientBuffers **ret_buffers)
{
    MuxClientJson list = mux_client_json_get(answer, "buffers"), value;
    Table *table = table_new(list);
    int r = table ? 0 : -ENOMEM;

    for (MuxClientJson at = {0}; r != -ENOMEM && mux_client_json_next(list, &at, NULL, &value);) {
        if (!mux_client_json_is_object(value))
            continue;
        MuxClientBufferBox *box = &table->boxes[table->buffers.count];
        r = mux_client_buffer_box_fill(box, value, mux_client_is_host(answer));
        if (r == 0)
            table->pointers[table->buffers.count++] = &box->info;
        else
            mux_client_buffer_box_deinit(box); // it is none
    }
    if (r != -ENOMEM)
        *ret_buffers = &table->buffers;
    else if (table)
        mux_client_buffers_free(&table->buffers);
    return r == -ENOMEM ? r : 0;
}

int mux_client_buffers(const char *socket, int timeout_ms, MuxClientRefusal *ret_refusal,
                       MuxClientBuffers **ret_buffers)
{
    MuxClientLines lines = {.fd = -1};
    MuxClientText request = {0};
    MuxClientJson answer;

    mux_client_text_put(&request, "{\"verb\":\"buffers\"}\n");
    int r = ask(socket, &request, mux_client_deadline(timeout_ms), ret_refusal, &lines, &answer);
    if (r == 0)
        r = read_buffers(answer, ret_buffers);
    mux_client_text_deinit(&request);
    mux_client_lines_deinit(&lines);
    return r;
}

int mux_client_buffer_release(const char *socket, const char *name, int timeout_ms,
                              MuxClientRefusal *ret_refusal)
{
    MuxClientLines lines = {.fd = -1};
    MuxClientText request = {0};
    MuxClientJson answer;

    mux_client_text_put(&request, "{\"verb\":\"release\",\"buffer\":");
    mux_client_text_put_string(&request, name);
    mux_client_text_put(&request, "}\n");
    int r = ask(socket, &request, mux_client_deadline(timeout_ms), ret_refusal, &lines, &answer);
    mux_client_text_deinit(&request);
    mux_client_lines_deinit(&lines);
    return r;
}
