// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "fake.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 20

guint fake_descriptors(void)
{
    GDir *folder = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(folder))
        n++;
    g_dir_close(folder);
    return n;
}

static gpointer run(gpointer data)
{
    Fake *fake = data;

    for (int i = 0; i < fake->connections; i++) {
        int fd = accept(fake->listening, NULL, NULL);
        g_assert_cmpint(fd, >=, 0);
        // A test that hangs should say where.
        struct timeval patience = {.tv_sec = PATIENCE_S};
        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), ==,
                        0);
        fake->play(fd, fake->data);
        (void)close(fd);
    }
    return NULL;
}

void fake_start_many(Fake *fake, FakePlay play, gconstpointer data, int connections)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *fake = (Fake){.descriptors = fake_descriptors(),
                   .folder = g_dir_make_tmp("mux-XXXXXX", NULL),
                   .play = play,
                   .data = data,
                   .connections = connections};
    fake->path = g_build_filename(fake->folder, "socket", NULL);
    g_assert_cmpuint(strlen(fake->path), <, sizeof(address.sun_path));
    (void)g_strlcpy(address.sun_path, fake->path, sizeof(address.sun_path));
    fake->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fake->listening, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(fake->listening, 8), ==, 0);
    fake->thread = g_thread_new("fake", run, fake);
}

void fake_start(Fake *fake, FakePlay play, gconstpointer data)
{
    fake_start_many(fake, play, data, 1);
}

void fake_end(Fake *fake)
{
    (void)g_thread_join(fake->thread);
    (void)close(fake->listening);
    (void)g_unlink(fake->path);
    (void)g_rmdir(fake->folder);
    g_free(fake->path);
    g_free(fake->folder);
    g_assert_cmpuint(fake_descriptors(), ==, fake->descriptors);
}

void fake_expect(int fd, const char *text)
{
    g_autofree char *got = g_malloc0(strlen(text) + 1);

    for (size_t n = 0; n < strlen(text);) {
        ssize_t piece = recv(fd, got + n, strlen(text) - n, 0);
        if (piece <= 0)
            g_error("expected '%s' and got '%s' and an end", text, got);
        n += (size_t)piece;
    }
    g_assert_cmpstr(got, ==, text);
}

void fake_expect_end(int fd)
{
    char byte;

    g_assert_cmpint(recv(fd, &byte, 1, 0), <=, 0);
}

void fake_say(int fd, const char *text)
{
    fake_pass(fd, text, NULL, 0);
}

void fake_say_slowly(int fd, const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        g_assert_cmpint(send(fd, text + i, 1, MSG_NOSIGNAL), ==, 1);
        if (i % 16 == 0)
            g_usleep(200);
    }
}

void fake_pass(int fd, const char *text, const int *fds, guint n)
{
    char control[CMSG_SPACE(16 * sizeof(int))] __attribute__((aligned(sizeof(size_t)))) = {0};
    struct iovec piece = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    if (n > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    }
    while (piece.iov_len > 0) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0)
            return; // the library closed, and the test says whether it should have
        piece.iov_base = (char *)piece.iov_base + sent;
        piece.iov_len -= (size_t)sent;
        message.msg_controllen = 0;
    }
}

void fake_expect_control(int fd, const char *request)
{
    fake_expect(fd, "@control\n");
    fake_say(fd, "OK\n");
    fake_expect(fd, request);
    fake_say(fd, "{\"ok\":true,\"daemon\":\"fake\",\"version\":\"9\"}\n");
}

// A connected pair, of which one end is passed on.
void fake_pass_channel(int fd, const char *line, const char *greeting)
{
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    fake_pass(fd, line, &pair[1], 1);
    (void)close(pair[1]);
    fake_say(pair[0], greeting);
    (void)close(pair[0]);
}

void fake_assert_says(int fd, const char *expected)
{
    char data[64] = {0};

    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(recv(fd, data, sizeof(data) - 1, MSG_WAITALL), ==, strlen(expected));
    g_assert_cmpstr(data, ==, expected);
    (void)close(fd);
}
