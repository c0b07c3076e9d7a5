// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The control connection: a JSON object a line, in both directions.

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "text.h"

#define LINE_MAX_BYTES (256 * 1024 * 1024) // an answer with all channels of all VMs
#define PIECE          65536

int muxctl_control_open(const MuxctlOptions *options, MuxctlControl *ret_control)
{
    int fd = -1, status = muxctl_open(options, "@control", -1, &fd);

    if (status == EXIT_GOOD)
        *ret_control = (MuxctlControl){.fd = fd, .input = g_string_new(NULL)};
    return status;
}

void muxctl_control_close(MuxctlControl *control)
{
    if (!control->input)
        return;
    g_string_free(control->input, TRUE);
    close(control->fd);
    *control = (MuxctlControl){0};
}

void muxctl_control_send(MuxctlControl *control, const char *verb)
{
    g_autofree char *request = g_strdup_printf("{\"verb\": \"%s\"}\n", verb);

    (void)!send(control->fd, request, strlen(request), MSG_NOSIGNAL);
}

bool muxctl_control_read(MuxctlControl *control)
{
    char piece[PIECE];
    ssize_t n;

    if (control->input->len > LINE_MAX_BYTES)
        return false;
    do
        n = recv(control->fd, piece, sizeof(piece), 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        g_string_append_len(control->input, piece, n);
    return n > 0;
}

json_object *muxctl_control_take(MuxctlControl *control)
{
    GString *input = control->input;
    char *end = memchr(input->str + control->searched, '\n', input->len - control->searched);

    control->searched = end ? 0 : input->len;
    if (!end)
        return NULL;
    *end = '\0';
    json_object *line = json_tokener_parse(input->str);
    g_string_erase(input, 0, end + 1 - input->str);
    if (json_object_is_type(line, json_type_object))
        return line;
    json_object_put(line);
    return json_object_new_object();
}

int muxctl_check_answer(const char *verb, json_object *answer)
{
    json_object *ok = muxctl_get(answer, "ok"), *error = muxctl_get(answer, "error");

    if (ok && json_object_get_boolean(ok))
        return EXIT_GOOD;
    muxctl_complain("the daemon does not answer '%s': %s", verb,
                    !ok                         ? "its answer makes no sense"
                    : muxctl_get(error, "text") ? muxctl_word(error, "text")
                                                : "it gives no reason");
    return muxctl_code_status(muxctl_word(error, "code"));
}

json_object *muxctl_control_answer(int fd, const char *verb)
{
    MuxctlControl control = {.fd = fd, .input = g_string_new(NULL)};
    json_object *answer;

    muxctl_control_send(&control, verb);
    while (!(answer = muxctl_control_take(&control)) && muxctl_control_read(&control)) {
    }
    muxctl_control_close(&control);
    return answer;
}

int muxctl_ask(const MuxctlOptions *options, const char *verb, json_object **ret_answer)
{
    int fd = -1, status = muxctl_open(options, "@control", -1, &fd);

    if (status != EXIT_GOOD)
        return status;
    json_object *answer = muxctl_control_answer(fd, verb);
    if (!answer) {
        muxctl_complain("the daemon went away without an answer to '%s'", verb);
        return EXIT_NO_DAEMON;
    }
    status = muxctl_check_answer(verb, answer);
    if (status == EXIT_GOOD)
        *ret_answer = answer;
    else
        json_object_put(answer);
    return status;
}
