// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl connect NAME: standard input goes into the channel, what comes goes to standard output.
//
// A thread carries each direction with blocking calls, so that one that is stuck never holds up the
// other. The end of one direction is passed on as such; it is over when both have ended, or when
// the channel was closed as a whole.

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "muxctl.h"

#define BUFFER_SIZE (256 * 1024)

typedef struct Sender {
    int socket;
    int done;  // eventfd
    bool lost; // standard input had bytes that the channel did not take
} Sender;

// Carries until the end. 0, or the errno of what failed, negative when it was reading.
static int carry(int from, int to)
{
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);

    for (;;) {
        ssize_t n = read(from, buffer, BUFFER_SIZE);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && !muxctl_write_all(to, buffer, (size_t)n))
            return errno;
    }
}

static gpointer send_input(gpointer user)
{
    Sender *sender = user;
    uint64_t one = 1;

    sender->lost = carry(STDIN_FILENO, sender->socket) > 0;
    (void)shutdown(sender->socket, SHUT_WR);
    (void)!write(sender->done, &one, sizeof(one));
    return NULL;
}

// Nothing more comes; waits until nothing more goes either.
static void wait_for_sender(const Sender *sender)
{
    struct pollfd fds[] = {{.fd = sender->done, .events = POLLIN},
                           {.fd = sender->socket, .events = 0}};

    while (fds[0].revents == 0 && !(fds[1].revents & (POLLHUP | POLLERR)))
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
}

int muxctl_connect(const MuxctlOptions *options, char **arguments)
{
    Sender sender = {.done = eventfd(0, EFD_CLOEXEC)};

    if (g_strv_length(arguments) != 1) {
        g_printerr("muxctl: connect takes one NAME (on the host: VM/NAME)\n");
        return EXIT_USAGE;
    }
    int status = muxctl_open(options, arguments[0], &sender.socket);
    if (status != EXIT_GOOD)
        return status;

    (void)signal(SIGPIPE, SIG_IGN);
    g_thread_unref(g_thread_new("send", send_input, &sender));
    int r = carry(sender.socket, STDOUT_FILENO);
    if (r > 0) {
        g_printerr("muxctl: standard output: %s\n", g_strerror(r));
        return EXIT_BROKEN;
    }
    if (r < 0) {
        g_printerr("muxctl: %s: the channel was reset\n", arguments[0]);
        return EXIT_BROKEN;
    }
    (void)close(STDOUT_FILENO); // whoever reads it learns of the end, while input may go on
    wait_for_sender(&sender);
    return sender.lost ? EXIT_BROKEN : EXIT_GOOD;
}
