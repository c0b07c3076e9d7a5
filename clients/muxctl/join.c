// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Standard input goes into the channel, what comes goes to standard output.
//
// A thread carries each direction with blocking calls, so that one that is stuck never holds up the
// other. The end of one direction is passed on as such; it is over when both have ended, or when
// the channel was closed as a whole.

#include "join.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

typedef struct Sender {
    int socket;
    int done;  // eventfd
    gint busy; // it holds bytes that are not yet in the channel
    bool lost; // standard input had bytes that the channel did not take; known when it is done
} Sender;

// Writes all of it; false with errno set.
static bool write_all(int fd, const void *bytes, size_t size)
{
    for (const char *p = bytes; size > 0;) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static void poll_two(struct pollfd *fds)
{
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
}

// Waits until there is something to read. False when there need not be: nobody reads standard
// output any more, and nothing more is being sent, which is when `done` can be read.
static bool wait_for_input(int from, int done)
{
    struct pollfd fds[] = {{.fd = from, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};

    poll_two(fds);
    if (fds[0].revents != 0 || !(fds[1].revents & (POLLERR | POLLHUP)))
        return true;
    fds[1] = (struct pollfd){.fd = done, .events = POLLIN};
    poll_two(fds);
    return fds[0].revents != 0;
}

#define NOBODY_LEFT 1000 // no errno

// Carries until the end. 0, or the errno of what failed, negative when it was reading. *busy tells
// other threads whether there are bytes between the two. With `done`, see wait_for_input(), which
// may end it with NOBODY_LEFT.
static int carry(int from, int to, gint *busy, int done)
{
    g_autofree char *buffer = g_malloc(BUFFER_SIZE);

    for (;;) {
        if (done >= 0 && !wait_for_input(from, done))
            return NOBODY_LEFT;
        ssize_t n = read(from, buffer, BUFFER_SIZE);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        g_atomic_int_set(busy, n > 0);
        if (n > 0 && !write_all(to, buffer, (size_t)n))
            return errno;
        g_atomic_int_set(busy, false);
    }
}

static gpointer send_input(gpointer user)
{
    Sender *sender = user;
    uint64_t one = 1;

    sender->lost = carry(STDIN_FILENO, sender->socket, &sender->busy, -1) > 0;
    (void)shutdown(sender->socket, SHUT_WR);
    (void)!write(sender->done, &one, sizeof(one));
    g_atomic_rc_box_release(sender);
    return NULL;
}

// Nothing more comes; waits until nothing more goes either. Whether bytes were lost. When the
// channel has hung up, what might still be typed does not count.
static bool wait_for_sender(Sender *sender)
{
    struct pollfd fds[] = {{.fd = sender->done, .events = POLLIN},
                           {.fd = sender->socket, .events = 0}};

    while (fds[0].revents == 0 && !(fds[1].revents & (POLLHUP | POLLERR)))
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
    // Writing to what has hung up fails at once.
    while (fds[0].revents == 0 && g_atomic_int_get(&sender->busy))
        if (poll(fds, 1, -1) < 0 && errno != EINTR)
            return false;
    return fds[0].revents != 0 && sender->lost;
}

// The exit status.
static int carry_both(Sender *sender, const char *name)
{
    gint busy = false;

    g_thread_unref(g_thread_new("send", send_input, g_atomic_rc_box_acquire(sender)));
    int r = carry(sender->socket, STDOUT_FILENO, &busy, sender->done);
    if (r == NOBODY_LEFT)
        return EXIT_BROKEN;
    if (r > 0) {
        muxctl_complain("standard output: %s", g_strerror(r));
        return EXIT_BROKEN;
    }
    if (r < 0) {
        muxctl_complain("%s: the channel was reset", name);
        return EXIT_BROKEN;
    }
    (void)close(STDOUT_FILENO); // whoever reads it learns of the end, while input may go on
    return wait_for_sender(sender) ? EXIT_BROKEN : EXIT_GOOD;
}

int muxctl_join(const MuxctlOptions *options, const char *name, const MuxctlSession *session,
                int fd)
{
    // Of two: the thread may go on reading for as long as the process lives.
    Sender *sender = g_atomic_rc_box_new0(Sender);
    MuxctlSession after = {0};

    sender->socket = fd;
    sender->done = eventfd(0, EFD_CLOEXEC);
    int status = carry_both(sender, name);
    g_atomic_rc_box_release(sender);
    if (status == EXIT_GOOD && session->known)
        muxctl_session_ask(options, session->link, &after);
    if (after.known && g_strcmp0(session->id, after.id) != 0) {
        muxctl_complain("%s: the session ended before the channel was known to be complete", name);
        status = EXIT_BROKEN;
    }
    muxctl_session_clear(&after);
    return status;
}
