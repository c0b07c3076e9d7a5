// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The socket is peeked at and then read exactly as far as the name goes, so that what the app wrote
// behind it in the same write need not be kept here. A leading "pipe:" is AndroidPipe's and is
// dropped.

#include "greeting.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/name.h"

#define PIPE_PREFIX    "pipe:"
#define CONNECT_PREFIX "CONNECT "
#define SHOWN_MAX      40
#define DROPPED_MAX    (64 * 1024)

static const char *find_end(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == '\0' || bytes[i] == '\n')
            return bytes + i;
    return NULL;
}

// Whether it was there.
static bool drop_prefix(MuxGreeting *greeting, const char *prefix)
{
    size_t length = strlen(prefix);

    if (greeting->length < length || memcmp(greeting->name, prefix, length) != 0)
        return false;
    greeting->length -= length;
    memmove(greeting->name, greeting->name + length, greeting->length + 1);
    return true;
}

int mux_greeting_read(MuxGreeting *greeting, int fd)
{
    char *to = greeting->name + greeting->length;
    size_t room = sizeof(greeting->name) - greeting->length;

    ssize_t n = recv(fd, to, room, MSG_PEEK);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? MUX_GREETING_MORE : -errno;
    if (n == 0)
        return MUX_GREETING_BAD;

    const char *end = find_end(to, (size_t)n);
    size_t take = end ? (size_t)(end - to) + 1 : (size_t)n;
    if (recv(fd, to, take, 0) != (ssize_t)take)
        return -EIO; // nobody else reads this socket
    if (!end) {
        greeting->length += take;
        return greeting->length < sizeof(greeting->name) ? MUX_GREETING_MORE : MUX_GREETING_BAD;
    }
    greeting->answers = *end == '\n' ? MUX_ANSWERS_LINE : MUX_ANSWERS_NONE;
    greeting->length += take - 1;
    greeting->name[greeting->length] = '\0';
    (void)drop_prefix(greeting, PIPE_PREFIX);
    if (greeting->answers && drop_prefix(greeting, CONNECT_PREFIX))
        greeting->answers = MUX_ANSWERS_CONNECT;
    return 0;
}

static const char *explain(MuxCode code)
{
    switch (code) {
    case MUX_CODE_NO_SERVICE:
        return "no such service is registered on the other side";
    case MUX_CODE_DENIED:
        return "the policy does not allow it";
    case MUX_CODE_LIMIT:
        return "there are too many channels, or too many were opened just now";
    case MUX_CODE_TIMEOUT:
        return "no answer came in time";
    case MUX_CODE_LINK_DOWN:
        return "there is no session with the other side";
    case MUX_CODE_BAD_NAME:
        return "a name is service[:argument]: 1 to 128 of A-Z a-z 0-9 . _ -, not beginning "
               "with - or .; behind the colon at most 1024 bytes";
    case MUX_CODE_CLOSED:
    case MUX_CODE_REFUSED:
    case MUX_CODES:
        break;
    }
    return "its handler would not take the connection";
}

// What the app has sent already would, unread, make of our close() an error for it that hides the
// answer's end.
static void drop_input(int fd)
{
    char buffer[4096];

    for (size_t i = 0; i < DROPPED_MAX / sizeof(buffer); i++)
        if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0)
            return;
}

void mux_greeting_refuse(int fd, MuxAnswers answers, uint32_t code, const char *name,
                         const char *why)
{
    // What an app may be told is a fixed list.
    MuxCode told = code == MUX_CODE_CLOSED || code >= MUX_CODES ? MUX_CODE_REFUSED : code;
    g_autofree char *shown = g_strndup(name, SHOWN_MAX);
    g_autofree char *line =
        g_strdup_printf("ERR %s '%s': %s\n", mux_code_name(told), shown, why ? why : explain(told));

    if (!answers)
        return;
    (void)send(fd, line, strlen(line), MSG_NOSIGNAL);
    drop_input(fd);
}
