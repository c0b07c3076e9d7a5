// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Discovery: the list, whatever the other side wrote into it; and waiting for a service.

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "fake.h"
#include "muxclient.h"

#define SERVICES "{\"verb\":\"services\"}\n"
#define EVENTS   "{\"verb\":\"events\",\"only\":[\"services\"]}\n"
#define WEB1                                                                                       \
    "{\"name\":\"web1/uptime\",\"link\":\"web1\",\"service\":\"uptime\",\"description\":\"how "    \
    "long\",\"properties\":{\"version\":\"2\",\"n\":3,\"empty\":\"\",\"\":\"x\"}}"

static void play_list(int fd, gconstpointer data)
{
    g_autofree char *answer = g_strdup_printf(
        "{\"event\":\"x\"}\n{\"ok\":true,\"services\":[],\"remote\":%s}\n", (const char *)data);

    fake_expect(fd, "@control\n");
    fake_say(fd, "OK\n");
    fake_expect(fd, SERVICES);
    fake_say(fd, answer);
}

static MuxClientServices *ask(const char *list)
{
    Fake fake;
    MuxClientServices *services = NULL;

    fake_start(&fake, play_list, list);
    g_assert_cmpint(mux_client_services(fake.path, 10000, NULL, &services), ==, 0);
    fake_end(&fake);
    return services;
}

static void test_list(void)
{
    MuxClientServices *services = ask("[" WEB1 ",{\"name\":\"a\",\"link\":\"b\",\"service\":\"c\"}"
                                      "]");

    g_assert_cmpuint(services->count, ==, 2);
    g_assert_null(services->list[2]);
    const MuxClientService *first = services->list[0], *second = services->list[1];
    g_assert_cmpstr(first->name, ==, "web1/uptime");
    g_assert_cmpstr(first->link, ==, "web1");
    g_assert_cmpstr(first->service, ==, "uptime");
    g_assert_cmpstr(first->description, ==, "how long");
    g_assert_cmpuint(first->n_properties, ==, 3);
    g_assert_cmpstr(mux_client_service_property(first, "version"), ==, "2");
    g_assert_cmpstr(mux_client_service_property(first, "empty"), ==, "");
    g_assert_null(mux_client_service_property(first, "n"));
    g_assert_cmpstr(second->name, ==, "a");
    g_assert_cmpstr(second->description, ==, "");
    g_assert_cmpuint(second->n_properties, ==, 0);
    mux_client_services_free(services);
}

static void test_empty(void)
{
    const char *const lists[] = {"[]",
                                 "null",
                                 "{}",
                                 "1",
                                 "\"x\"",
                                 "[1,[],{},null]",
                                 "[{\"name\":\"a\",\"link\":\"b\"}]",
                                 "[{\"name\":\"\\u0000\",\"link\":\"b\",\"service\":\"c\"}]",
                                 "[{\"name\":1,\"link\":\"b\",\"service\":\"c\"}]"};

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        MuxClientServices *services = ask(lists[i]);
        g_assert_cmpuint(services->count, ==, 0);
        g_assert_null(services->list[0]);
        mux_client_services_free(services);
    }
    mux_client_services_free(NULL);
}

// Thousands of services, one of them with more properties than there may be.
static void test_large(void)
{
    GString *list = g_string_new("[");
    const guint n = 5000;

    g_string_append(list, "{\"name\":\"a\",\"link\":\"b\",\"service\":\"c\",\"properties\":{");
    for (int i = 0; i < 1000; i++)
        g_string_append_printf(list, "%s\"%d\":\"\\u00e4\"", i ? "," : "", i);
    g_string_append(list, "}}");
    for (guint i = 1; i < n; i++)
        g_string_append_printf(list, "," WEB1);
    g_string_append(list, "]");
    MuxClientServices *services = ask(list->str);
    g_string_free(list, TRUE);
    g_assert_cmpuint(services->count, ==, n);
    g_assert_cmpuint(services->list[0]->n_properties, ==, 32);
    g_assert_cmpstr(mux_client_service_property(services->list[0], "31"), ==, "ä");
    g_assert_cmpstr(mux_client_service_property(services->list[n - 1], "version"), ==, "2");
    mux_client_services_free(services);
}

// ---- Waiting ----

typedef struct Wait {
    const char *list;  // at first
    const char *after; // events that follow
    const char *again; // a second list, after "lost"
} Wait;

static void say_list(int fd, const char *list)
{
    g_autofree char *answer = g_strdup_printf("{\"ok\":true,\"remote\":%s}\n", list);

    fake_expect(fd, SERVICES);
    fake_say(fd, answer);
}

static void play_wait(int fd, gconstpointer data)
{
    const Wait *wait = data;

    fake_expect_control(fd, EVENTS);
    say_list(fd, wait->list);
    fake_say_slowly(fd, wait->after);
    if (wait->again)
        say_list(fd, wait->again);
    if (wait->after[0])
        fake_expect_end(fd);
}

static int wait_for(const Wait *wait, const char *name, int timeout_ms)
{
    Fake fake;

    fake_start(&fake, play_wait, wait);
    int r = mux_client_wait(fake.path, name, timeout_ms, NULL);
    fake_end(&fake);
    return r;
}

#define ADDED(name) "{\"event\":\"service-added\",\"name\":\"" name "\"}\n"

static void test_wait(void)
{
    const Wait there = {"[1," WEB1 "]", "", NULL};
    const Wait comes = {"[]", ADDED("web1/uptim") ADDED("web1/uptime2") ADDED("web1/uptime"), NULL};
    const Wait other = {"[" WEB1 "]", "{\"event\":\"service-removed\",\"name\":\"web2/uptime\"}\n",
                        NULL};
    const Wait lost = {"[]", "{\"event\":\"lost\",\"count\":3}\n", "[" WEB1 "]"};
    const Wait ends = {"[]", "", NULL};

    g_assert_cmpint(wait_for(&there, "web1/uptime", -1), ==, 0);
    g_assert_cmpint(wait_for(&there, "web1/uptime:argument", 10000), ==, 0);
    g_assert_cmpint(wait_for(&comes, "web1/uptime", 10000), ==, 0);
    g_assert_cmpint(wait_for(&lost, "web1/uptime", 10000), ==, 0);
    g_assert_cmpint(wait_for(&other, "web2/uptime", 100), ==, MUX_CLIENT_TIMEOUT);
    g_assert_cmpint(wait_for(&ends, "web1/uptime", -1), ==, MUX_CLIENT_CLOSED);
}

static void test_wait_refusal(void)
{
    const Wait other = {"[" WEB1 "]", ADDED("web2/x"), NULL};
    MuxClientRefusal refusal;
    Fake fake;

    fake_start(&fake, play_wait, &other);
    g_assert_cmpint(mux_client_wait(fake.path, "web2/uptime", 100, &refusal), ==,
                    MUX_CLIENT_TIMEOUT);
    g_assert_cmpstr(refusal.text, ==, "it was not there in time");
    fake_end(&fake);
}

static void test_wait_name(void)
{
    g_autofree char *most = g_strnfill(128, 'x'), *more = g_strnfill(129, 'x');
    g_autofree char *both = g_strdup_printf("%s/%s:%s", most, most, more);
    g_autofree char *long_vm = g_strdup_printf("%s/x", more);
    g_autofree char *long_service = g_strdup_printf("x/%s", more);
    const char *const bad[] = {"",   ":x",   "/x", "x/",       "x/y/z", "bad name",   "a\nb",
                               ".x", "x/-y", "-x", "@control", more,    long_service, long_vm};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%s", bad[i]);
        g_assert_cmpint(mux_client_wait("/nowhere", bad[i], -1, NULL), ==, MUX_CLIENT_BAD_NAME);
    }
    g_assert_cmpint(mux_client_wait("/nowhere", "x", -1, NULL), ==, -ENOENT);
    g_assert_cmpint(mux_client_wait("/nowhere", "x:\n", -1, NULL), ==, -ENOENT);
    g_assert_cmpint(mux_client_wait("/nowhere", both, -1, NULL), ==, -ENOENT);
}

// The other side changes its services without end, so that there is always something to read.
static void play_storm(int fd, gconstpointer data)
{
    const char event[] = "{\"event\":\"service-changed\",\"name\":\"web1/x\"}\n";

    (void)data;
    fake_expect_control(fd, EVENTS);
    say_list(fd, "[]");
    while (send(fd, event, strlen(event), MSG_NOSIGNAL) > 0) {
    }
}

static void test_storm(void)
{
    Fake fake;

    fake_start(&fake, play_storm, NULL);
    gint64 before = g_get_monotonic_time();
    g_assert_cmpint(mux_client_wait(fake.path, "web1/uptime", 200, NULL), ==, MUX_CLIENT_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - before, <, 5000000);
    fake_end(&fake);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/services/list", test_list);
    g_test_add_func("/client/services/empty", test_empty);
    g_test_add_func("/client/services/large", test_large);
    g_test_add_func("/client/services/wait", test_wait);
    g_test_add_func("/client/services/wait-refusal", test_wait_refusal);
    g_test_add_func("/client/services/wait-name", test_wait_name);
    g_test_add_func("/client/services/storm", test_storm);
    return g_test_run();
}
