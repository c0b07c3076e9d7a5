// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What control connections are told of buffers, and what they can do to them.

#include <string.h>
#include <sys/socket.h>

#include "buffer-app.h"

// A control connection, by the means of a program's.
static App *control_as(Side *side, uid_t uid, const char *request)
{
    App *app = g_new0(App, 1);
    MuxPeer peer = {.known = true, .uid = uid};
    g_autofree char *line = g_strdup_printf("%s\n", request);
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), ==,
                    0);
    app->fd = ends[0];
    app->in = g_byte_array_new();
    app->memory = -1;
    mux_control_add(side->relay.controls, ends[1], false, &peer);
    app_say(app, line, strlen(line));
    return app;
}

static App *subscriber(Side *side, uid_t uid, const char *application)
{
    g_autofree char *request =
        application ? g_strdup_printf("{\"verb\": \"events\", \"only\": [\"buffers\"], "
                                      "\"application\": \"%s\"}",
                                      application)
                    : g_strdup("{\"verb\": \"events\", \"only\": [\"buffers\"]}");
    App *app = control_as(side, uid, request);
    g_autofree char *answer = app_line(app);

    g_assert_true(g_str_has_prefix(answer, "{\"ok\":true"));
    return app;
}

// "buffer-added clip", and the reason if there is one.
static void expect_event(App *app, const char *expected)
{
    g_autofree char *line = app_line(app);
    json_object *event = json_tokener_parse(line), *name, *buffer, *reason = NULL, *kind;

    g_assert_true(json_object_object_get_ex(event, "event", &kind));
    g_assert_true(json_object_object_get_ex(event, "buffer", &buffer));
    g_assert_true(json_object_object_get_ex(buffer, "name", &name));
    bool gone = json_object_object_get_ex(event, "reason", &reason);
    g_autofree char *text =
        g_strdup_printf("%s %s%s%s", json_object_get_string(kind), json_object_get_string(name),
                        gone ? " " : "", gone ? json_object_get_string(reason) : "");
    g_assert_cmpstr(text, ==, expected);
    json_object_put(event);
}

static void expect_nothing(App *app)
{
    world_settle();
    app_read(app);
    g_assert_cmpuint(app->in->len, ==, 0);
}

static App *create(Side *side, uid_t uid, const char *name, const char *application)
{
    g_autofree char *request =
        g_strdup_printf("{\"create\": \"%s\", \"size\": 1, \"properties\": {\"application\": "
                        "\"%s\"}}",
                        name, application);

    return app_expect_as(side, uid, request, "ok");
}

static void test_events(World *world, gconstpointer data)
{
    (void)data;
    App *mine = subscriber(&world->guest, 1000, NULL);
    App *other = subscriber(&world->guest, 1001, NULL);
    App *root = subscriber(&world->guest, 0, NULL);
    App *owner = create(&world->guest, 1000, "a", "x");
    expect_event(mine, "buffer-added a");
    expect_event(root, "buffer-added a");
    app_set(owner, "{\"k\":\"v\"}");
    expect_event(mine, "buffer-changed a");
    expect_event(root, "buffer-changed a");
    app_close(owner);
    expect_event(mine, "buffer-removed a owner");
    expect_event(root, "buffer-removed a owner");
    expect_nothing(other);
    app_close(root);
    app_close(other);
    app_close(mine);
}

// Many changes in one turn are one event.
static void test_storm(World *world, gconstpointer data)
{
    g_autoptr(GString) records = g_string_new(NULL);
    static const char set[] = "\2\0\0\0\11\0\0\0{\"k\":\"a\"}";

    (void)data;
    App *owner = create(&world->guest, 1000, "a", "x");
    App *mine = subscriber(&world->guest, 1000, NULL);
    expect_event(mine, "buffer-added a");
    for (int i = 0; i < 100; i++) {
        g_string_append_len(records, set, sizeof(set) - 1);
        records->str[records->len - 3] = (char)('a' + i % 26);
    }
    app_say(owner, records->str, records->len);
    expect_event(mine, "buffer-changed a");
    expect_nothing(mine);
    g_assert_cmpuint(world->guest.set, ==, 1);
    g_assert_cmpstr(world->guest.changes, ==, "{\"k\":\"v\"}");
    app_close(mine);
    app_close(owner);
}

static void test_application(World *world, gconstpointer data)
{
    (void)data;
    App *all = subscriber(&world->guest, 1000, NULL);
    App *x = subscriber(&world->guest, 1000, "x"), *y = subscriber(&world->guest, 1000, "y");
    App *a = create(&world->guest, 1000, "a", "x"), *b = create(&world->guest, 1000, "b", "y");
    expect_event(all, "buffer-added a");
    expect_event(all, "buffer-added b");
    expect_event(x, "buffer-added a");
    expect_event(y, "buffer-added b");
    app_set(a, "{\"k\":\"v\"}");
    expect_event(all, "buffer-changed a");
    expect_event(x, "buffer-changed a");
    app_set(a, "{\"application\":\"y\"}");
    expect_event(all, "buffer-changed a");
    expect_event(x, "buffer-removed a application");
    expect_event(y, "buffer-added a");
    app_set(a, "{\"application\":null}");
    expect_event(all, "buffer-changed a");
    expect_event(y, "buffer-removed a application");
    App *late = subscriber(&world->guest, 1000, "y");
    expect_event(late, "buffer-added b"); // it is there already
    app_close(b);
    expect_event(y, "buffer-removed b owner");
    expect_event(late, "buffer-removed b owner");
    expect_nothing(x);
    App *const apps[] = {all, x, y, late, a};
    for (size_t i = 0; i < G_N_ELEMENTS(apps); i++)
        app_close(apps[i]);
}

static void expect_answer(Side *side, uid_t uid, const char *request, const char *part)
{
    App *app = control_as(side, uid, request);
    g_autofree char *answer = app_line(app);

    if (!strstr(answer, part))
        g_error("%s: %s, but: %s", request, part, answer);
    app_close(app);
}

static void test_verbs(World *world, gconstpointer data)
{
    static const char list[] = "{\"verb\": \"buffers\"}";

    (void)data;
    App *owner = create(&world->guest, 1000, "a", "x");
    world_share(&world->host, &world->guest, "a");
    expect_answer(&world->guest, 1000, list,
                  "\"buffers\":[{\"name\":\"a\",\"link\":\"host\",\"id\":\"00000000000007d1\","
                  "\"size\":1048576,\"state\":\"ready\",\"owner\":{\"side\":\"guest\",\"uid\":1000,"
                  "\"gid\":100,\"program\":\"app\"},\"properties\":{\"application\":\"x\"},"
                  "\"handles\":1,\"notices\":0}]");
    expect_answer(&world->guest, 1001, list, "\"buffers\":[]");
    expect_answer(&world->host, 1001, list, "\"link\":\"web1\"");
    expect_answer(&world->guest, 1000, "{\"verb\": \"release\"}", "\"bad-request\"");
    expect_answer(&world->guest, 1000, "{\"verb\": \"release\", \"buffer\": \"b\"}",
                  "\"no-buffer\"");
    expect_answer(&world->guest, 1001, "{\"verb\": \"release\", \"buffer\": \"a\"}",
                  "\"no-buffer\"");
    expect_answer(&world->host, 1001, "{\"verb\": \"release\", \"buffer\": \"web1/a\"}",
                  "\"denied\"");
    expect_answer(&world->host, 1001, "{\"verb\": \"release\", \"buffer\": \"a\"}", "\"bad-name\"");
    expect_answer(&world->guest, 1000, "{\"verb\": \"release\", \"buffer\": \"a\"}", "\"ok\":true");
    app_expect_text(owner, 3, "released");
    expect_answer(&world->host, 0, "{\"verb\": \"release\", \"buffer\": \"web1/a\"}",
                  "\"ok\":true");
    g_assert_cmpuint(world->host.released, ==, 1);
    app_close(owner);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/buffer-events/" name, World, NULL, world_begin, fn, world_end)
    ADD("events", test_events);
    ADD("storm", test_storm);
    ADD("application", test_application);
    ADD("verbs", test_verbs);
    return g_test_run();
}
