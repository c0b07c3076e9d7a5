// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A line is peeked at first and then read exactly up to its end. So what is not read yet is in the
// kernel, and poll() on the connection says whether there is more. And so a descriptor belongs to
// the line with which it was read: the daemon sends it with the line's first byte, and the kernel
// hands it out with that byte.

#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "muxclient.h"

#define FIRST_PIECE 4096 // most lines fit
#define PIECE       65536
#define PASSED_MAX  253 // the kernel's SCM_MAX_FD: it cannot be more in one message

void mux_client_lines_init(MuxClientLines *lines, int fd, size_t max)
{
    *lines = (MuxClientLines){.fd = fd, .max = max, .passed = -1};
}

static void drop_passed(MuxClientLines *lines)
{
    if (lines->passed >= 0)
        (void)close(lines->passed);
    lines->passed = -1;
    lines->cut = false;
}

void mux_client_lines_deinit(MuxClientLines *lines)
{
    if (lines->fd < 0)
        return;
    drop_passed(lines);
    (void)close(lines->fd);
    lines->fd = -1;
    free(lines->bytes);
    lines->bytes = NULL;
}

int mux_client_lines_take(MuxClientLines *lines)
{
    int fd = lines->passed;

    lines->passed = -1;
    return fd;
}

static int make_room(MuxClientLines *lines, size_t piece)
{
    if (lines->length >= lines->max)
        return -EMSGSIZE;
    if (lines->room - lines->length >= piece)
        return 0;
    size_t room = lines->length + piece > 2 * lines->room ? lines->length + piece : 2 * lines->room;
    char *bytes = realloc(lines->bytes, room);
    if (!bytes)
        return -ENOMEM;
    lines->bytes = bytes;
    lines->room = room;
    return 0;
}

// The first descriptor is kept; all others are closed.
static void keep_one(MuxClientLines *lines, const struct cmsghdr *header)
{
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
        if (lines->passed < 0)
            lines->passed = fd;
        else
            (void)close(fd);
    }
}

// Returns how many bytes were read, or a negative errno.
static ssize_t receive(MuxClientLines *lines, size_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control;
    struct iovec piece = {lines->bytes + lines->length, size};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    ssize_t n = recvmsg(lines->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at))
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS)
            keep_one(lines, at);
    lines->cut = lines->cut || (message.msg_flags & MSG_CTRUNC);
    lines->length += (size_t)n;
    return n;
}

// Reads what is there of the line. Returns how many bytes were read, 0 at the end, or a negative
// errno.
static ssize_t read_piece(MuxClientLines *lines)
{
    size_t piece = lines->length == 0 ? FIRST_PIECE : PIECE;
    int r = make_room(lines, piece);
    if (r < 0)
        return r;
    char *to = lines->bytes + lines->length;
    ssize_t n = recv(lines->fd, to, piece, MSG_PEEK | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    const char *end = memchr(to, '\n', (size_t)n);
    return receive(lines, end ? (size_t)(end - to) + 1 : (size_t)n);
}

static void begin(MuxClientLines *lines)
{
    if (!lines->whole)
        return;
    drop_passed(lines);
    lines->whole = false;
    lines->length = 0;
}

int mux_client_lines_next(MuxClientLines *lines, MuxClientDeadline deadline, const char **ret_line,
                          size_t *ret_length)
{
    begin(lines);
    while (!lines->whole) {
        ssize_t n = read_piece(lines);
        if (n == 0 || n == -ECONNRESET)
            return MUX_CLIENT_CLOSED;
        if (n == -EAGAIN) {
            int r = mux_client_poll(lines->fd, POLLIN, deadline);
            if (r != 0)
                return r;
        } else if (n < 0 && n != -EINTR) {
            return (int)n;
        }
        lines->whole = n > 0 && lines->bytes[lines->length - 1] == '\n';
    }
    lines->bytes[lines->length - 1] = '\0';
    *ret_line = lines->bytes;
    *ret_length = lines->length - 1;
    return 0;
}
