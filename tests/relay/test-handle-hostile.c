// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What programs say on a handle that mean no good, or die in the middle of it.

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer-app.h"
#include "proto/bytes.h"

#define SIZE   (1u << 20)
#define CREATE "{\"create\": \"clip\", \"size\": 1048576}"
#define OPEN   "{\"open\": \"clip\"}"

static void expect_closed(App *app)
{
    world_until(app_ended(app));
    app_close(app);
}

static void test_bad_records(World *world, gconstpointer data)
{
    static const struct {
        uint32_t type, length;
        uint64_t offset, size;
    } cases[] = {
        {0, 0, 0, 0},           {3, 0, 0, 0},           {1, 15, 0, 0},         {1, 17, 0, 0},
        {1, 0, 0, 0},           {1, 65537, 0, 0},       {1, UINT32_MAX, 0, 0}, {2, 65537, 0, 0},
        {2, 0, 0, 0},           {2, 16, 0, 0},          {1, 16, SIZE, 1},      {1, 16, SIZE + 1, 0},
        {1, 16, UINT64_MAX, 2}, {1, 16, 1, UINT64_MAX},
    };

    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        App *app = app_expect(&world->guest, OPEN, "ok");
        uint8_t record[8 + 17] = {0};
        mux_put32(record, cases[i].type);
        mux_put32(record + 4, cases[i].length);
        mux_put64(record + 8, cases[i].offset);
        mux_put64(record + 16, cases[i].size);
        app_say(app, record, 8 + MIN(cases[i].length, 17));
        expect_closed(app);
    }
    const MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    g_assert_cmpuint(buffer->n_handles, ==, 1);
    g_assert_cmpuint(buffer->notices, ==, 0);
    // What was good before what was bad has been said.
    App *app = app_expect(&world->guest, OPEN, "ok");
    uint8_t both[24 + 8] = {0};
    (void)record_notify(both, 0, 1);
    app_say(app, both, sizeof(both));
    app_expect_notice(owner, 0, 1);
    expect_closed(app);
    app_close(owner);
}

static void test_reader_says(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    App *app = app_expect(&world->guest, "{\"open\": \"clip\", \"write\": false}", "ok");
    app_notify(app, 0, 1);
    expect_closed(app);
    app = app_expect(&world->guest, "{\"open\": \"clip\", \"write\": false}", "ok");
    app_set(app, "{}");
    expect_closed(app);
    g_assert_cmpuint(mux_buffers_find(world->guest.link, "clip")->notices, ==, 0);
    app_close(owner);
}

// A byte at a time, line and records; and all at once.
static void test_pieces(World *world, gconstpointer data)
{
    uint8_t bytes[256];

    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    size_t n = strlen(OPEN "\n");
    memcpy(bytes, OPEN "\n", n);
    n += record_notify(bytes + n, 7, 1);
    n += record_notify(bytes + n, 9, 1);
    App *slow = app_new_as(&world->guest, 1000);
    for (size_t i = 0; i < n; i++) {
        app_say(slow, bytes + i, 1);
        world_settle();
    }
    app_expect_notice(owner, 7, 1);
    app_expect_notice(owner, 9, 1);
    App *fast = app_new_as(&world->guest, 1000);
    app_say(fast, bytes, n);
    app_expect_notice(owner, 7, 3);
    app_close(fast);
    app_close(slow);
    app_close(owner);
}

static void test_long_line(World *world, gconstpointer data)
{
    g_autofree char *text = g_strnfill(4096, 'x');

    (void)data;
    App *app = app_new_as(&world->guest, 1000);
    for (int i = 0; i < 16; i++) {
        app_say(app, text, 4096);
        world_settle();
    }
    expect_closed(app);
}

// Row 17: descriptors that nobody asked for are closed, at once.
static void send_descriptor(const App *app, const char *text, size_t size, int fd)
{
    union {
        char space[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec piece = {(void *)text, size};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    const int three[] = {fd, fd, fd};

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(three));
    memcpy(CMSG_DATA(header), three, sizeof(three));
    g_assert_cmpint(sendmsg(app->fd, &message, MSG_NOSIGNAL), ==, (ssize_t)size);
}

static void test_descriptors(World *world, gconstpointer data)
{
    uint8_t record[24];
    int ends[2], others[2];
    char byte;

    (void)data;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC | O_NONBLOCK), ==, 0);
    g_assert_cmpint(pipe2(others, O_CLOEXEC | O_NONBLOCK), ==, 0);
    App *app = app_new_as(&world->guest, 1000);
    send_descriptor(app, CREATE "\n", strlen(CREATE "\n"), ends[1]);
    close(ends[1]);
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "ok");
    g_assert_cmpint(read(ends[0], &byte, 1), ==, 0); // no writer is left
    App *other = app_expect(&world->guest, OPEN, "ok");
    (void)record_notify(record, 0, 1);
    send_descriptor(app, (const char *)record, sizeof(record), others[1]);
    close(others[1]);
    app_expect_notice(other, 0, 1);
    g_assert_cmpint(read(others[0], &byte, 1), ==, 0);
    close(ends[0]);
    close(others[0]);
    app_close(other);
    app_close(app);
}

static guint descriptors(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint count = 0;

    while (g_dir_read_name(dir))
        count++;
    return count;
}

// Row 5: closed in each state, everything is gone.
static void test_leaves(World *world, gconstpointer data)
{
    (void)data;
    world_settle();
    guint before = descriptors(), sockets = world->guest.relay.sockets;
    App *app = app_new_as(&world->guest, 1000);
    app_close(app); // nothing said
    app = app_new_as(&world->guest, 1000);
    app_say(app, "{\"crea", 6); // half a line
    world_settle();
    app_close(app);
    app_close(app_ask_as(&world->guest, 1000, CREATE)); // not waited for
    app_close(app_ask_as(&world->guest, 1000, "nonsense"));
    app_close(app_expect(&world->guest, "nonsense", "bad-request")); // end not waited for
    world_until(world->guest.idled == 1);
    app = app_expect(&world->guest, CREATE, "ok");
    app_say(app, "\1\0\0\0\20", 5); // half a record
    world_settle();
    app_close(app);
    world_until(world->guest.idled == 2);
    world_settle();
    g_assert_cmpuint(world->guest.relay.sockets, ==, sockets);
    g_assert_cmpuint(descriptors(), ==, before);
    g_assert_cmpuint(mux_buffers_count(world->guest.link), ==, 0);
}

static void test_too_many(World *world, gconstpointer data)
{
    enum { MOST = 1024 };
    App *apps[MOST];
    guint n = 0;

    (void)data;
    world->guest.relay.most_fd = 100000;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    for (; n < MOST; n++) {
        apps[n] = app_new_as(&world->guest, 1000);
        g_autofree char *line = app_line(apps[n]);
        if (strcmp(line, "OK") != 0)
            break;
    }
    g_assert_cmpuint(n, ==, 255); // and the owner
    app_close(apps[n]);
    app_close(app_expect_as(&world->guest, 0, OPEN, "ok")); // others are served
    while (n-- > 0)
        app_close(apps[n]);
    app_close(owner);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); // warnings belong to it
#define ADD(name, fn) g_test_add("/handle-hostile/" name, World, NULL, world_begin, fn, world_end)
    ADD("bad-records", test_bad_records);
    ADD("reader-says", test_reader_says);
    ADD("pieces", test_pieces);
    ADD("long-line", test_long_line);
    ADD("descriptors", test_descriptors);
    ADD("leaves", test_leaves);
    ADD("too-many", test_too_many);
    return g_test_run();
}
