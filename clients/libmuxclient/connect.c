// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Opening a name: it is written with a newline, and one line is answered. What follows that line is
// the channel's, so the answer is peeked at and then read exactly as far as it goes.

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dial.h"
#include "muxclient.h"
#include "open.h"
#include "result.h"

#define NAME_MAX_BYTES 4096 // more than any daemon takes
#define ANSWER_MAX     4096

static int send_name(int fd, const char *name, MuxClientDeadline deadline)
{
    char line[NAME_MAX_BYTES + 1];
    size_t length = strlen(name);

    memcpy(line, name, length);
    line[length] = '\n';
    int r = mux_client_send(fd, line, length + 1, deadline);
    return r == -EPIPE ? 0 : r; // it may have answered before it closed
}

// Reads what is there, at most up to the line's end. Returns how many bytes those are, or 0 at the
// connection's end, or a negative errno.
static ssize_t read_piece(int fd, char *to, size_t room)
{
    ssize_t n = recv(fd, to, room, MSG_PEEK | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    const char *end = memchr(to, '\n', (size_t)n);
    n = recv(fd, to, end ? (size_t)(end - to) + 1 : (size_t)n, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

// 0 with the line's length, its newline not counted.
static int read_answer(int fd, char *line, MuxClientDeadline deadline, size_t *ret_length)
{
    size_t length = 0;

    while (length < ANSWER_MAX) {
        ssize_t n = read_piece(fd, line + length, ANSWER_MAX - length);
        if (n == 0 || n == -ECONNRESET)
            return MUX_CLIENT_CLOSED;
        if (n == -EAGAIN) {
            int r = mux_client_poll(fd, POLLIN, deadline);
            if (r != 0)
                return r;
        } else if (n < 0 && n != -EINTR) {
            return (int)n;
        }
        if (n > 0)
            length += (size_t)n;
        if (n > 0 && line[length - 1] == '\n') {
            *ret_length = length - 1;
            return 0;
        }
    }
    return -EPROTO;
}

// "OK", perhaps with words behind it, or "ERR <code> <text>".
static int judge(const char *line, size_t length, MuxClientRefusal *ret_refusal)
{
    if (length >= 2 && memcmp(line, "OK", 2) == 0 && (length == 2 || line[2] == ' '))
        return 0;
    if (length < 5 || memcmp(line, "ERR ", 4) != 0)
        return -EPROTO;
    const char *word = line + 4;
    size_t rest = length - 4;
    const char *space = memchr(word, ' ', rest);
    size_t word_length = space ? (size_t)(space - word) : rest;
    size_t skip = space ? word_length + 1 : rest;
    return mux_client_refuse(ret_refusal, word, word_length, word + skip, rest - skip);
}

int mux_client_open(const char *socket, const char *name, MuxClientDeadline deadline,
                    MuxClientRefusal *ret_refusal, int *ret_fd)
{
    char line[ANSWER_MAX];
    size_t length = 0;
    int fd = -1;

    if (!*name || strchr(name, '\n') || strlen(name) > NAME_MAX_BYTES)
        return mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_NAME,
                                      "a name is neither empty nor has it a line's end in it");
    int r = mux_client_dial(socket, deadline, &fd);
    if (r != 0)
        return mux_client_conclude(ret_refusal, r);
    r = send_name(fd, name, deadline);
    if (r == 0)
        r = read_answer(fd, line, deadline, &length);
    r = r == 0 ? judge(line, length, ret_refusal) : mux_client_conclude(ret_refusal, r);
    if (r == 0)
        *ret_fd = fd;
    else
        (void)close(fd);
    return r;
}

int mux_client_connect(const char *socket, const char *name, int timeout_ms,
                       MuxClientRefusal *ret_refusal, int *ret_fd)
{
    return mux_client_open(socket, name, mux_client_deadline(timeout_ms), ret_refusal, ret_fd);
}
