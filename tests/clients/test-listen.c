// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Offering a service: what is asked for, what the daemon answers, and the registration's end.

#include <errno.h>
#include <glib.h>
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

#define FULL_REQUEST                                                                               \
    "{\"verb\":\"register\",\"accept\":\"fd\",\"service\":\"clip\",\"description\":"               \
    "\"a \\u0022b\\u0022\\u000a\\u005c\",\"properties\":{\"version\":\"2\",\"vendor\":\"\"},"      \
    "\"vms\":[\"web*\",\"db\"],\"max_channels\":3,\"max_opens_per_second\":4294967295}\n"

static void play_options(int fd, gconstpointer data)
{
    (void)data;
    fake_expect_control(fd, FULL_REQUEST);
    fake_expect_end(fd);
}

static void test_options(void)
{
    const MuxClientProperty properties[] = {{"version", "2"}, {"vendor", ""}};
    const char *const vms[] = {"web*", "db", NULL};
    const MuxClientListenOptions options = {.description = "a \"b\"\n\\",
                                            .properties = properties,
                                            .n_properties = 2,
                                            .vms = vms,
                                            .max_channels = 3,
                                            .max_opens_per_second = UINT32_MAX};
    Fake fake;
    MuxClientListener *listener = NULL;

    fake_start(&fake, play_options, NULL);
    g_assert_cmpint(mux_client_listen(fake.path, "clip", &options, 10000, NULL, &listener), ==, 0);
    end(&fake, listener);

    g_autofree char *description = g_strnfill(70000, 'x');
    const MuxClientListenOptions longest = {.description = description};
    MuxClientRefusal refusal;
    g_assert_cmpint(mux_client_listen("/nowhere", "clip", &longest, -1, &refusal, &listener), ==,
                    MUX_CLIENT_BAD_REQUEST);
    g_assert_cmpstr(refusal.code, ==, "bad-request");
}

static void play_refusal(int fd, gconstpointer data)
{
    fake_expect(fd, "@control\n");
    fake_say_slowly(fd, "OK\n");
    fake_expect(fd, PLAIN_REQUEST);
    fake_say_slowly(fd, data);
}

static void check_refused(const char *answer, int result, const char *code, const char *text)
{
    MuxClientListener *listener = NULL;
    MuxClientRefusal refusal = {{0}, {0}};
    Fake fake;

    fake_start(&fake, play_refusal, answer);
    g_assert_cmpint(mux_client_listen(fake.path, "clip", NULL, 10000, &refusal, &listener), ==,
                    result);
    g_assert_null(listener);
    g_assert_cmpstr(refusal.code, ==, code);
    g_assert_cmpstr(refusal.text, ==, text);
    fake_end(&fake);
}

static void test_refused(void)
{
    check_refused("{\"event\":\"lost\",\"count\":1}\n{\"ok\":false,\"error\":{\"code\":\"taken\","
                  "\"text\":\"by \\u00fc\"}}\n",
                  MUX_CLIENT_TAKEN, "taken", "by ü");
    check_refused("{\"ok\":false,\"error\":{\"code\":\"denied\"}}\n", MUX_CLIENT_DENIED, "denied",
                  "");
    check_refused("{\"ok\":false,\"error\":{\"code\":\"future\",\"text\":1}}\n", MUX_CLIENT_OTHER,
                  "future", "");
    check_refused("{\"ok\":false,\"error\":\"no\"}\n", -EPROTO, "", "");
    check_refused("{\"ok\":1}\n", -EPROTO, "", "");
    check_refused("[]\n", -EPROTO, "", "");
    check_refused("{\"ok\":true\n", -EPROTO, "", "");
    check_refused("{\"ok\":true}", MUX_CLIENT_CLOSED, "closed", "the daemon closed the connection");
}

static void play_gone(int fd, gconstpointer data)
{
    fake_expect_control(fd, PLAIN_REQUEST);
    fake_pass_channel(fd, CHANNEL, "x");
    fake_say(fd, data);
}

static void check_gone(const char *line, int result, const char *reason)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    int fd = -1;

    fake_start(&fake, play_gone, line);
    g_assert_cmpint(mux_client_listen(fake.path, "clip", NULL, -1, NULL, &listener), ==, 0);
    g_assert_cmpint(mux_client_accept(listener, -1, NULL, &fd), ==, 0);
    fake_assert_says(fd, "x");
    for (int i = 0; i < 2; i++)
        g_assert_cmpint(mux_client_accept(listener, -1, NULL, &fd), ==, result);
    g_assert_cmpstr(mux_client_listener_reason(listener), ==, reason);
    end(&fake, listener);
}

static void test_gone(void)
{
    check_gone("", MUX_CLIENT_CLOSED, "");
    check_gone("{\"event\":\"chan", MUX_CLIENT_CLOSED, "");
    check_gone("{\"event\":\"unregistered\",\"service\":\"clip\",\"reason\":\"a file took it\"}\n",
               MUX_CLIENT_UNREGISTERED, "a file took it");
    check_gone("{\"event\":\"unregistered\"}\n", MUX_CLIENT_UNREGISTERED,
               "the daemon does not say why");
}

// A line without an end.
static void play_endless(int fd, gconstpointer data)
{
    g_autofree char *piece = g_strnfill(100000, 'x');

    (void)data;
    fake_expect_control(fd, PLAIN_REQUEST);
    for (int i = 0; i < 10; i++)
        fake_say(fd, piece);
}

static void test_endless(void)
{
    Fake fake;
    MuxClientListener *listener = NULL;
    int fd = -1;

    begin(&fake, play_endless, &listener);
    for (int i = 0; i < 2; i++)
        g_assert_cmpint(mux_client_accept(listener, 10000, NULL, &fd), ==, -EMSGSIZE);
    end(&fake, listener);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/listen/options", test_options);
    g_test_add_func("/client/listen/refused", test_refused);
    g_test_add_func("/client/listen/gone", test_gone);
    g_test_add_func("/client/listen/endless", test_endless);
    return g_test_run();
}
