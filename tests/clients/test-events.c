// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Events: each kind, what is asked for, and lines that are none.

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>

#include "fake.h"
#include "muxclient.h"

typedef struct Script {
    const char *request;
    const char *lines;
} Script;

static void play(int fd, gconstpointer data)
{
    const Script *script = data;

    fake_expect_control(fd, script->request);
    fake_say_slowly(fd, script->lines);
}

static void test_requests(void)
{
    const struct {
        unsigned which;
        Script script;
    } cases[] = {
        {MUX_CLIENT_EVENTS_ALL, {"{\"verb\":\"events\"}\n", ""}},
        {MUX_CLIENT_EVENTS_LINKS, {"{\"verb\":\"events\",\"only\":[\"links\"]}\n", ""}},
        {MUX_CLIENT_EVENTS_SERVICES | MUX_CLIENT_EVENTS_CHANNELS,
         {"{\"verb\":\"events\",\"only\":[\"services\",\"channels\"]}\n", ""}},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake fake;
        MuxClientEvents *events = NULL;
        const MuxClientEvent *event = NULL;
        fake_start(&fake, play, &cases[i].script);
        g_assert_cmpint(mux_client_events(fake.path, cases[i].which, 10000, NULL, &events), ==, 0);
        g_assert_cmpint(mux_client_next_event(events, -1, &event), ==, MUX_CLIENT_CLOSED);
        g_assert_null(event);
        mux_client_events_free(events);
        fake_end(&fake);
    }
    mux_client_events_free(NULL);
}

#define LINE(text) text "\n"

static const Script all = {
    "{\"verb\":\"events\"}\n",
    LINE("{\"event\":\"service-added\",\"name\":\"web1/a\",\"link\":\"web1\",\"service\":\"a\","
         "\"description\":\"\\u00e4\",\"properties\":{\"k\":\"v\"}}")
        LINE("{\"event\":\"link-up\",\"link\":\"web1\",\"session\":\"0123456789abcdef\","
             "\"peer\":{\"daemon\":\"guestmux\",\"version\":\"0.1.0\"}}")
            LINE("{\"event\":\"link-down\",\"link\":\"web1\",\"reason\":\"it "
                 "broke\",\"channels\":3}")
                LINE("{\"event\":\"channel-opened\",\"link\":\"web1\",\"id\":4,\"service\":\"a:b\","
                     "\"direction\":\"in\",\"caller\":{\"uid\":0,\"gid\":0,\"program\":\"sh\"}}")
                    LINE("{\"event\":\"channel-closed\",\"link\":\"web1\",\"id\":4,\"service\":"
                         "\"a\","
                         "\"direction\":\"out\",\"code\":\"done\",\"sent\":18446744073709551615,"
                         "\"received\":2}") LINE("{\"event\":\"lost\",\"count\":7}")
                        LINE("{\"event\":\"of-a-later-version\",\"x\":[1]}")};

static const MuxClientEvent *next(MuxClientEvents *events, MuxClientEventKind kind)
{
    const MuxClientEvent *event = NULL;
    int r;

    while ((r = mux_client_next_event(events, 0, &event)) == MUX_CLIENT_AGAIN) {
        struct pollfd item = {.fd = mux_client_events_fd(events), .events = POLLIN};
        g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
    }
    g_assert_cmpint(r, ==, 0);
    g_assert_cmpint(event->kind, ==, kind);
    return event;
}

static void check_first(MuxClientEvents *events)
{
    const MuxClientEvent *event = next(events, MUX_CLIENT_EVENT_SERVICE_ADDED);
    g_assert_cmpstr(event->word, ==, "service-added");
    g_assert_cmpstr(event->name, ==, "web1/a");
    g_assert_cmpstr(event->link, ==, "web1");
    g_assert_cmpstr(event->service, ==, "a");
    g_assert_cmpstr(event->description, ==, "ä");
    g_assert_cmpuint(event->n_properties, ==, 1);
    g_assert_cmpstr(event->properties[0].name, ==, "k");
    g_assert_cmpstr(event->properties[0].value, ==, "v");
    g_assert_null(event->reason);
    g_assert_false(event->caller.known);
    g_assert_cmpuint(event->line_length, ==, strchr(all.lines, '\n') - all.lines);
    g_assert_cmpmem(event->line, event->line_length, all.lines, event->line_length);
    g_assert_cmpuint(strlen(event->line), ==, event->line_length);

    event = next(events, MUX_CLIENT_EVENT_LINK_UP);
    g_assert_cmpstr(event->session, ==, "0123456789abcdef");
    g_assert_cmpstr(event->peer_daemon, ==, "guestmux");
    g_assert_cmpstr(event->peer_version, ==, "0.1.0");
    g_assert_cmpuint(event->n_properties, ==, 0);
}

static void check_rest(MuxClientEvents *events)
{
    const MuxClientEvent *event = next(events, MUX_CLIENT_EVENT_LINK_DOWN);
    g_assert_cmpstr(event->reason, ==, "it broke");
    g_assert_cmpuint(event->channels, ==, 3);

    event = next(events, MUX_CLIENT_EVENT_CHANNEL_OPENED);
    g_assert_cmpstr(event->service, ==, "a:b");
    g_assert_cmpuint(event->id, ==, 4);
    g_assert_true(event->incoming);
    g_assert_true(event->caller.known);
    g_assert_cmpuint(event->caller.uid, ==, 0);
    g_assert_cmpstr(event->caller.program, ==, "sh");

    event = next(events, MUX_CLIENT_EVENT_CHANNEL_CLOSED);
    g_assert_cmpstr(event->code, ==, "done");
    g_assert_cmpuint(event->sent, ==, UINT64_MAX);
    g_assert_cmpuint(event->received, ==, 2);
    g_assert_false(event->incoming);

    g_assert_cmpuint(next(events, MUX_CLIENT_EVENT_LOST)->count, ==, 7);
    g_assert_cmpstr(next(events, MUX_CLIENT_EVENT_OTHER)->word, ==, "of-a-later-version");
}

static void test_kinds(void)
{
    Fake fake;
    MuxClientEvents *events = NULL;

    fake_start(&fake, play, &all);
    g_assert_cmpint(mux_client_events(fake.path, MUX_CLIENT_EVENTS_ALL, -1, NULL, &events), ==, 0);
    check_first(events);
    check_rest(events);
    mux_client_events_free(events);
    fake_end(&fake);
}

static void test_junk(void)
{
    const Script script = {"{\"verb\":\"events\"}\n",
                           "junk\n\n{}\n[1]\n{\"event\":1}\n{\"event\":\"lost\",\"count\":\"x\","
                           "\"properties\":[\"a\"],\"caller\":[],\"peer\":\"\",\"id\":-1}\n"};
    Fake fake;
    MuxClientEvents *events = NULL;
    const MuxClientEvent *event = NULL;

    fake_start(&fake, play, &script);
    g_assert_cmpint(mux_client_events(fake.path, MUX_CLIENT_EVENTS_ALL, -1, NULL, &events), ==, 0);
    for (int i = 0; i < 5; i++)
        g_assert_cmpint(mux_client_next_event(events, -1, &event), ==, -EPROTO);
    event = next(events, MUX_CLIENT_EVENT_LOST);
    g_assert_cmpuint(event->count, ==, 0);
    g_assert_cmpuint(event->n_properties, ==, 0);
    g_assert_false(event->caller.known);
    mux_client_events_free(events);
    fake_end(&fake);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/events/requests", test_requests);
    g_test_add_func("/client/events/kinds", test_kinds);
    g_test_add_func("/client/events/junk", test_junk);
    return g_test_run();
}
