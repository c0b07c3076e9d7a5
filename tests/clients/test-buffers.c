// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The list of buffers, ending somebody's, and events about them.

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "fake.h"
#include "muxclient.h"

typedef struct Script {
    const char *request;
    const char *answer;
} Script;

static void play(int fd, gconstpointer data)
{
    const Script *script = data;

    fake_expect(fd, "@control\n");
    fake_say(fd, "OK\n");
    fake_expect(fd, script->request);
    fake_say_slowly(fd, script->answer);
}

#define LIST "{\"verb\":\"buffers\"}\n"
#define CLIP                                                                                       \
    "{\"name\":\"clip\",\"link\":\"web1\",\"id\":\"0123456789abcdef\",\"size\":1048576,\"state\":" \
    "\"held\",\"owner\":{\"side\":\"web1\",\"uid\":1,\"gid\":2,\"program\":\"p\"},\"properties\":" \
    "{\"application\":\"paint\"},\"handles\":1,\"notices\":17,\"node\":\"/run/x\"}"

static MuxClientBuffers *ask(const char *daemon, const char *list)
{
    g_autofree char *answer =
        g_strdup_printf("{\"ok\":true,\"daemon\":\"%s\",\"buffers\":%s}\n", daemon, list);
    const Script script = {LIST, answer};
    Fake fake;
    MuxClientBuffers *buffers = NULL;

    fake_start(&fake, play, &script);
    g_assert_cmpint(mux_client_buffers(fake.path, -1, NULL, &buffers), ==, 0);
    fake_end(&fake);
    return buffers;
}

static void check_clip(const MuxClientBufferInfo *info, const char *name)
{
    g_assert_cmpstr(info->name, ==, name);
    g_assert_cmpstr(info->buffer, ==, "clip");
    g_assert_cmpstr(info->link, ==, "web1");
    g_assert_cmpstr(info->id, ==, "0123456789abcdef");
    g_assert_cmpuint(info->size, ==, 1048576);
    g_assert_cmpstr(info->state, ==, "held");
    g_assert_cmpstr(info->owner_side, ==, "web1");
    g_assert_cmpuint(info->owner.gid, ==, 2);
    g_assert_null(info->read_only_for);
    g_assert_cmpuint(info->notices, ==, 17);
    g_assert_cmpstr(mux_client_buffer_property(info, "application"), ==, "paint");
}

static void test_list(void)
{
    MuxClientBuffers *buffers =
        ask("hostmux", "[1," CLIP ",{},{\"name\":1,\"link\":\"x\"},{\"name\":\"a\",\"link\":\"b\","
                       "\"owner\":[],\"size\":\"x\",\"properties\":7}]");

    g_assert_cmpuint(buffers->count, ==, 2);
    check_clip(buffers->list[0], "web1/clip");
    g_assert_cmpstr(buffers->list[1]->name, ==, "b/a");
    g_assert_cmpstr(buffers->list[1]->state, ==, "");
    g_assert_false(buffers->list[1]->owner.known);
    g_assert_null(buffers->list[2]);
    mux_client_buffers_free(buffers);

    buffers = ask("guestmux", "[" CLIP "]");
    check_clip(buffers->list[0], "clip");
    mux_client_buffers_free(buffers);

    const char *const none[] = {"[]", "null", "{}", "\"x\"", "[[],{}]"};
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        buffers = ask("hostmux", none[i]);
        g_assert_cmpuint(buffers->count, ==, 0);
        g_assert_null(buffers->list[0]);
        mux_client_buffers_free(buffers);
    }
    mux_client_buffers_free(NULL);
}

static void test_release(void)
{
    const struct {
        int result;
        Script script;
    } cases[] = {
        {0, {"{\"verb\":\"release\",\"buffer\":\"web1/clip\"}\n", "{\"ok\":true}\n"}},
        {MUX_CLIENT_NO_BUFFER,
         {"{\"verb\":\"release\",\"buffer\":\"web1/clip\"}\n",
          "{\"ok\":false,\"error\":{\"code\":\"no-buffer\",\"text\":\"\"}}\n"}},
        {MUX_CLIENT_CLOSED, {"{\"verb\":\"release\",\"buffer\":\"web1/clip\"}\n", ""}},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake fake;
        fake_start(&fake, play, &cases[i].script);
        g_assert_cmpint(mux_client_buffer_release(fake.path, "web1/clip", -1, NULL), ==,
                        cases[i].result);
        fake_end(&fake);
    }
}

#define EVENTS(filter) "{\"verb\":\"events\",\"only\":[\"buffers\"]" filter "}\n"

static void test_events(void)
{
    const Script script = {EVENTS(",\"application\":\"paint\""),
                           "{\"ok\":true,\"daemon\":\"hostmux\"}\n"
                           "{\"event\":\"buffer-added\",\"buffer\":" CLIP "}\n"
                           "{\"event\":\"buffer-changed\",\"buffer\":{\"name\":7}}\n"
                           "{\"event\":\"buffer-changed\",\"buffer\":null}\n"
                           "{\"event\":\"buffer-removed\",\"buffer\":" CLIP
                           ",\"reason\":\"owner\"}\n"};
    const MuxClientEventKind kinds[] = {MUX_CLIENT_EVENT_BUFFER_ADDED, 0,
                                        MUX_CLIENT_EVENT_BUFFER_CHANGED,
                                        MUX_CLIENT_EVENT_BUFFER_REMOVED};
    Fake fake;
    MuxClientEvents *events = NULL;
    const MuxClientEvent *event = NULL;

    fake_start(&fake, play, &script);
    g_assert_cmpint(mux_client_buffer_events(fake.path, "paint", -1, NULL, &events), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        int r = mux_client_next_event(events, -1, &event);
        g_assert_cmpint(r, ==, i == 1 ? -EPROTO : 0);
        if (i == 1)
            continue;
        g_assert_cmpint(event->kind, ==, kinds[i]);
        if (i == 2)
            g_assert_null(event->buffer);
        else
            check_clip(event->buffer, "web1/clip");
    }
    g_assert_cmpstr(event->reason, ==, "owner");
    mux_client_events_free(events);
    fake_end(&fake);
}

static void test_subscriptions(void)
{
    const Script all = {EVENTS(""), "{\"ok\":true}\n"};
    Fake fake;
    MuxClientEvents *events = NULL;

    fake_start(&fake, play, &all);
    g_assert_cmpint(mux_client_buffer_events(fake.path, NULL, -1, NULL, &events), ==, 0);
    mux_client_events_free(events);
    fake_end(&fake);
    fake_start(&fake, play, &all);
    g_assert_cmpint(mux_client_events(fake.path, MUX_CLIENT_EVENTS_BUFFERS, -1, NULL, &events), ==,
                    0);
    mux_client_events_free(events);
    fake_end(&fake);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/buffers/list", test_list);
    g_test_add_func("/client/buffers/release", test_release);
    g_test_add_func("/client/buffers/events", test_events);
    g_test_add_func("/client/buffers/subscriptions", test_subscriptions);
    return g_test_run();
}
