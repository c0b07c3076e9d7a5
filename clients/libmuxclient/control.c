// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The daemon answers requests in their order, and we have one at a time. An answer has "ok"; an
// event has not.

#include "control.h"

#include <errno.h>

#include "open.h"
#include "result.h"

int mux_client_control_open(const char *socket, size_t max, MuxClientDeadline deadline,
                            MuxClientRefusal *ret_refusal, MuxClientLines *ret_lines)
{
    int fd = -1;
    int r = mux_client_open(socket, "@control", deadline, ret_refusal, &fd);

    if (r == 0)
        mux_client_lines_init(ret_lines, fd, max);
    return r;
}

int mux_client_control_next(MuxClientLines *lines, MuxClientDeadline deadline,
                            MuxClientJson *ret_object)
{
    const char *line;
    size_t length;
    MuxClientJson value;

    int r = mux_client_lines_next(lines, deadline, &line, &length);
    if (r != 0)
        return r;
    if (!mux_client_json_check(line, length, &value) || !mux_client_json_is_object(value))
        return -EPROTO;
    *ret_object = value;
    return 0;
}

static int judge(MuxClientJson answer, MuxClientRefusal *ret_refusal)
{
    MuxClientRefusal said = {0};
    MuxClientJson error = mux_client_json_get(answer, "error");
    size_t word = 0, text = 0;

    if (mux_client_json_is_true(mux_client_json_get(answer, "ok")))
        return 0;
    if (!mux_client_json_string(mux_client_json_get(error, "code"), said.code, sizeof(said.code),
                                &word))
        return -EPROTO;
    // A text that is too long is left out; the word says enough.
    (void)mux_client_json_string(mux_client_json_get(error, "text"), said.text, sizeof(said.text),
                                 &text);
    return mux_client_refuse(ret_refusal, said.code, word, said.text, text);
}

int mux_client_control_ask(MuxClientLines *lines, const char *request, size_t length,
                           MuxClientDeadline deadline, MuxClientRefusal *ret_refusal,
                           MuxClientJson *ret_answer)
{
    MuxClientJson line;
    int r = mux_client_send(lines->fd, request, length, deadline);

    if (r != 0 && r != -EPIPE)
        return mux_client_conclude(ret_refusal, r);
    for (;;) {
        r = mux_client_control_next(lines, deadline, &line);
        if (r != 0)
            return mux_client_conclude(ret_refusal, r);
        if (mux_client_json_get(line, "ok").at)
            break;
        if (mux_client_over(deadline))
            return mux_client_conclude(ret_refusal, MUX_CLIENT_TIMEOUT);
    }
    r = judge(line, ret_refusal);
    if (r == 0)
        *ret_answer = line;
    return r;
}
