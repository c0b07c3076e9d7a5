// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each channel is a line that describes it, and a descriptor that comes with that line. A
// descriptor that no such line asks for, or that is no connected stream socket, is closed.

#include "listener.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "words.h"

int mux_client_listener_new(MuxClientListener **ret_listener)
{
    MuxClientListener *listener = calloc(1, sizeof(*listener));

    if (!listener)
        return -ENOMEM;
    listener->lines.fd = -1;
    *ret_listener = listener;
    return 0;
}

void mux_client_listener_free(MuxClientListener *listener)
{
    if (!listener)
        return;
    mux_client_lines_deinit(&listener->lines);
    free(listener->words);
    free(listener);
}

int mux_client_listener_fd(const MuxClientListener *listener)
{
    return listener->lines.fd;
}

const char *mux_client_listener_reason(const MuxClientListener *listener)
{
    return listener->reason;
}

static bool has_option(int fd, int option, int wanted)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

static bool is_channel(int fd)
{
    return has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_STREAM) &&
           has_option(fd, SO_ACCEPTCONN, 0);
}

// Memory for the strings of a line.
static int prepare_words(MuxClientListener *listener, size_t size, MuxClientWords *ret_words)
{
    if (listener->room < size) {
        char *bytes = realloc(listener->words, size);
        if (!bytes)
            return -ENOMEM;
        listener->words = bytes;
        listener->room = size;
    }
    *ret_words = (MuxClientWords){listener->words, listener->room, 0};
    return 0;
}

static int describe(MuxClientListener *listener, MuxClientJson event)
{
    MuxClientChannel channel = {0};
    MuxClientWords words;
    uint64_t id = 0;

    int r = prepare_words(listener, event.length, &words);
    if (r < 0)
        return r;
    channel.service = mux_client_words_get(&words, event, "service");
    channel.link = mux_client_words_get(&words, event, "link");
    channel.argument = mux_client_words_get(&words, event, "argument");
    if (!channel.argument)
        channel.argument = mux_client_words_base64(&words, event, "argument_base64");
    if (!channel.argument)
        channel.argument = "";
    if (!channel.service || !channel.link ||
        !mux_client_json_number(mux_client_json_get(event, "id"), UINT32_MAX, &id))
        return -EPROTO;
    channel.id = (uint32_t)id;
    channel.caller = mux_client_words_caller(mux_client_json_get(event, "caller"));
    listener->channel = channel;
    return 0;
}

static int take_channel(MuxClientListener *listener, MuxClientJson event, int *ret_fd)
{
    bool cut = listener->lines.cut;
    int r = describe(listener, event);
    int fd = mux_client_lines_take(&listener->lines);

    if (r == 0 && fd < 0)
        r = cut ? -EMFILE : -EPROTO;
    else if (r == 0 && !is_channel(fd))
        r = -EPROTO;
    if (r == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        (void)close(fd);
    return r;
}

static int end(MuxClientListener *listener, MuxClientJson event)
{
    MuxClientJson reason = mux_client_json_get(event, "reason");
    size_t length = 0;

    listener->gone = true;
    if (!mux_client_json_string(reason, listener->reason, sizeof(listener->reason), &length))
        (void)strcpy(listener->reason, "the daemon does not say why");
    return MUX_CLIENT_UNREGISTERED;
}

int mux_client_accept(MuxClientListener *listener, int timeout_ms,
                      const MuxClientChannel **ret_channel, int *ret_fd)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    int none = timeout_ms == 0 ? MUX_CLIENT_AGAIN : MUX_CLIENT_TIMEOUT;
    MuxClientJson event, word;

    if (listener->gone)
        return MUX_CLIENT_UNREGISTERED;
    for (;;) {
        int r = mux_client_control_next(&listener->lines, deadline, &event);
        if (r != 0)
            return r == MUX_CLIENT_TIMEOUT ? none : r;
        word = mux_client_json_get(event, "event");
        if (mux_client_json_equals(word, "unregistered"))
            return end(listener, event);
        if (mux_client_json_equals(word, "channel"))
            break;
        if (mux_client_over(deadline)) // it was an event of a later version
            return none;
    }
    int r = take_channel(listener, event, ret_fd);
    if (r == 0 && ret_channel)
        *ret_channel = &listener->channel;
    return r;
}
