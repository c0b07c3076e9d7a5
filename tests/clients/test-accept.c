// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Channels that come: one, many, slowly, with too many descriptors, wrong ones, or none. Each test
// ends with the count of descriptors that it began with.

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake.h"
#include "muxclient.h"

#define PLAIN_REQUEST "{\"verb\":\"register\",\"accept\":\"fd\",\"service\":\"clip\"}\n"
#define CHANNEL                                                                                    \
    "{\"event\":\"channel\",\"service\":\"clip\",\"argument\":\"a b\",\"link\":\"web1\","          \
    "\"id\":5,\"caller\":{\"uid\":1000,\"gid\":100,\"program\":\"curl\"}}\n"

static void begin(Fake *fake, FakePlay play, MuxClientListener **ret_listener)
{
    fake_start(fake, play, NULL);
    g_assert_cmpint(mux_client_listen(fake->path, "clip", NULL, 10000, NULL, ret_listener), ==, 0);
}

static void end(Fake *fake, MuxClientListener *listener)
{
    mux_client_listener_free(listener);
    fake_end(fake);
}

static void play_channel(int fd, gconstpointer data)
{
    (void)data;
    fake_expect_control(fd, PLAIN_REQUEST);
    fake_pass_channel(fd, CHANNEL, "hello");
    fake_expect_end(fd);
}

static void test_channel(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    const MuxClientChannel *channel = NULL;
    int fd = -1;

    begin(&fake, play_channel, &listener);
    g_assert_cmpint(mux_client_accept(listener, 10000, &channel, &fd), ==, 0);
    g_assert_cmpstr(channel->service, ==, "clip");
    g_assert_cmpstr(channel->argument, ==, "a b");
    g_assert_cmpstr(channel->link, ==, "web1");
    g_assert_cmpuint(channel->id, ==, 5);
    g_assert_true(channel->caller.known);
    g_assert_cmpuint(channel->caller.uid, ==, 1000);
    g_assert_cmpuint(channel->caller.gid, ==, 100);
    g_assert_cmpstr(channel->caller.program, ==, "curl");
    fake_assert_says(fd, "hello");
    end(&fake, listener);
}

// Byte by byte, with the descriptor at the first one.
static void play_slowly(int fd, gconstpointer data)
{
    (void)data;
    fake_expect(fd, "@control\n");
    fake_say_slowly(fd, "OK\n");
    fake_expect(fd, PLAIN_REQUEST);
    fake_say_slowly(fd, "{\"ok\":true}\n{\"event\":\"of a later version\"}\n");
    for (int i = 0; i < 2; i++) {
        fake_pass_channel(fd, "{", "slow");
        fake_say_slowly(fd, &CHANNEL[1]);
    }
    fake_expect_end(fd);
}

static void test_slowly(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;

    begin(&fake, play_slowly, &listener);
    for (int i = 0; i < 2; i++) {
        int fd = -1, r;
        // Without waiting: poll() says when to ask again, and only then.
        while ((r = mux_client_accept(listener, 0, NULL, &fd)) == MUX_CLIENT_AGAIN) {
            struct pollfd item = {.fd = mux_client_listener_fd(listener), .events = POLLIN};
            g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
        }
        g_assert_cmpint(r, ==, 0);
        fake_assert_says(fd, "slow");
    }
    end(&fake, listener);
}

// Several channels at once: after each, poll() says that there is another one.
static void play_many(int fd, gconstpointer data)
{
    (void)data;
    fake_expect_control(fd, PLAIN_REQUEST);
    fake_pass_channel(fd, CHANNEL, "0");
    fake_say(fd, "{\"event\":\"x\"}\n{\"event\":\"y\"}\n");
    fake_pass_channel(fd, CHANNEL, "1");
    fake_pass_channel(fd, CHANNEL, "2");
    fake_say(fd, "{\"event\":\"done\"}\n");
    fake_expect_end(fd);
}

static void test_many(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;

    begin(&fake, play_many, &listener);
    g_usleep(50000);
    for (int i = 0; i < 3; i++) {
        struct pollfd item = {.fd = mux_client_listener_fd(listener), .events = POLLIN};
        char expected[] = {(char)('0' + i), '\0'};
        int fd = -1;
        g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
        g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, 0);
        fake_assert_says(fd, expected);
    }
    int none = -7;
    g_assert_cmpint(mux_client_accept(listener, 0, NULL, &none), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_accept(listener, 50, NULL, &none), ==, MUX_CLIENT_TIMEOUT);
    g_assert_cmpint(none, ==, -7);
    end(&fake, listener);
}

// Channels that are not taken are closed with the listener.
static void test_untaken(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    int fd = -1;

    begin(&fake, play_many, &listener);
    g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, 0);
    fake_assert_says(fd, "0");
    end(&fake, listener);
}

// Descriptors that are too many, that nobody asked for, or that are no channel.
static void play_surplus(int fd, gconstpointer data)
{
    int pair[2], files[3], datagram, listening;

    (void)data;
    fake_expect_control(fd, PLAIN_REQUEST);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_assert_cmpint(pipe(files), ==, 0);
    files[2] = files[0];
    const int good_first[] = {pair[1], files[0], files[1], pair[1]};
    const int bad_first[] = {files[0], pair[1]};
    fake_pass(fd, "{\"event\":\"x\"}\n", files, 3);
    fake_pass(fd, CHANNEL, good_first, 4);
    fake_pass(fd, CHANNEL, bad_first, 2);
    fake_say(fd, CHANNEL); // with none
    datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    fake_pass(fd, CHANNEL, &datagram, 1);
    listening = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(listening, &(struct sockaddr){.sa_family = AF_UNIX}, 2), ==, 0);
    g_assert_cmpint(listen(listening, 1), ==, 0);
    fake_pass(fd, CHANNEL, &listening, 1);
    fake_pass(fd, "{\"event\":\"channel\"}\n", pair, 2);
    fake_pass(fd, "nonsense\n", pair, 2);
    // Descriptors within a line, and at its end.
    fake_say(fd, "{\"event\":\"z\"");
    fake_pass(fd, ",\"a\":1", pair, 2);
    fake_pass(fd, "}\n", pair, 2);
    fake_pass_channel(fd, CHANNEL, "last");
    const int all[] = {pair[0], pair[1], files[0], files[1], datagram, listening};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        (void)close(all[i]);
    fake_expect_end(fd);
}

static void test_surplus(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    int fd = -1;

    begin(&fake, play_surplus, &listener);
    g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, 0);
    (void)close(fd);
    fd = -7;
    for (int i = 0; i < 6; i++)
        g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, -EPROTO);
    g_assert_cmpint(fd, ==, -7);
    g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, 0);
    fake_assert_says(fd, "last");
    end(&fake, listener);
}

// What is said of the caller and the argument.
static void play_details(int fd, gconstpointer data)
{
    (void)data;
    fake_expect_control(fd, PLAIN_REQUEST);
    fake_pass_channel(
        fd,
        "{\"event\":\"channel\",\"service\":\"clip\",\"argument_base64\":\"/wBh/w==\","
        "\"link\":\"host\",\"id\":1,\"caller\":null}\n",
        "");
    fake_pass_channel(fd,
                      "{\"event\":\"channel\",\"service\":\"clip\",\"argument_base64\":\"/2H/\","
                      "\"link\":\"host\",\"id\":4294967295,\"caller\":{\"program\":"
                      "\"123456789012345678901234567890123456789012345678901234567890123456789\","
                      "\"uid\":-1,\"gid\":0}}\n",
                      "");
    fake_pass_channel(
        fd, "{\"event\":\"channel\",\"service\":\"c\",\"link\":\"h\",\"id\":4294967296}\n", "");
    fake_expect_end(fd);
}

static const MuxClientChannel *accept_and_close(MuxClientListener *listener)
{
    const MuxClientChannel *channel = NULL;
    int fd = -1;

    g_assert_cmpint(mux_client_accept(listener, 10000, &channel, &fd), ==, 0);
    (void)close(fd);
    return channel;
}

static void test_details(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    int fd = -1;

    begin(&fake, play_details, &listener);
    // A NUL has no place in an argument.
    const MuxClientChannel *channel = accept_and_close(listener);
    g_assert_cmpstr(channel->argument, ==, "");
    g_assert_false(channel->caller.known);
    g_assert_cmpuint(channel->caller.uid, ==, MUX_CLIENT_NO_ID);
    channel = accept_and_close(listener);
    g_assert_cmpstr(channel->argument, ==,
                    "\xff"
                    "a\xff");
    g_assert_cmpuint(channel->id, ==, UINT32_MAX);
    g_assert_true(channel->caller.known);
    g_assert_cmpuint(channel->caller.uid, ==, MUX_CLIENT_NO_ID);
    g_assert_cmpuint(channel->caller.gid, ==, 0);
    g_assert_cmpstr(channel->caller.program, ==, "");
    g_assert_cmpint(mux_client_accept(listener, 10000, &channel, &fd), ==, -EPROTO);
    end(&fake, listener);
}

// No number is left for the descriptor: that channel is lost, the next one is not.
static void test_no_descriptors(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    struct rlimit before, tight;
    int fd = -1;

    begin(&fake, play_many, &listener);
    g_usleep(200000); // all of them are there
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    tight = before;
    tight.rlim_cur = 3;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
    int lost = mux_client_accept(listener, 10000, NULL, &fd);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_cmpint(lost, ==, -EMFILE);
    g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, 0);
    fake_assert_says(fd, "1");
    end(&fake, listener);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/accept/channel", test_channel);
    g_test_add_func("/client/accept/slowly", test_slowly);
    g_test_add_func("/client/accept/many", test_many);
    g_test_add_func("/client/accept/untaken", test_untaken);
    g_test_add_func("/client/accept/surplus", test_surplus);
    g_test_add_func("/client/accept/details", test_details);
    g_test_add_func("/client/accept/no-descriptors", test_no_descriptors);
    return g_test_run();
}
