// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See buffer-app.h.

#include "buffer-app.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/bytes.h"

void app_read(App *app)
{
    union {
        char space[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    char bytes[4096];
    struct iovec piece = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};

    ssize_t n = recvmsg(app->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        app->eof = true;
    if (n <= 0)
        return;
    g_byte_array_append(app->in, (const guint8 *)bytes, (guint)n);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        g_assert_cmpuint(c->cmsg_len, ==, CMSG_LEN(sizeof(int)));
        memcpy(&app->memory, CMSG_DATA(c), sizeof(int));
        app->passed++;
    }
}

App *app_new_as(Side *side, uid_t uid)
{
    App *app = g_new0(App, 1);
    MuxPeer peer = {.known = true, .uid = uid, .gid = 100, .program = "app"};
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), ==,
                    0);
    app->fd = ends[0];
    app->in = g_byte_array_new();
    app->memory = -1;
    mux_handle_add(side->relay.handles, ends[1], MUX_ANSWERS_LINE, &peer);
    return app;
}

void app_say(const App *app, const void *bytes, size_t size)
{
    g_assert_cmpint(send(app->fd, bytes, size, MSG_NOSIGNAL), ==, (ssize_t)size);
}

void app_close(App *app)
{
    if (app->fd >= 0)
        close(app->fd);
    if (app->memory >= 0)
        close(app->memory);
    g_byte_array_unref(app->in);
    g_free(app);
}

static bool app_has(App *app, guint size)
{
    if (app->in->len < size)
        app_read(app);
    return app->in->len >= size;
}

static bool app_has_line(App *app)
{
    app_read(app);
    return app->in->len > 0 && memchr(app->in->data, '\n', app->in->len);
}

bool app_ended(App *app)
{
    app_read(app);
    return app->eof;
}

char *app_line(App *app)
{
    world_until(app_has_line(app));
    const guint8 *end = memchr(app->in->data, '\n', app->in->len);
    guint size = (guint)(end - app->in->data);
    char *line = g_strndup((const char *)app->in->data, size);
    g_byte_array_remove_range(app->in, 0, size + 1);
    return line;
}

char *app_answer(App *app)
{
    g_autofree char *ok = app_line(app);
    g_assert_cmpstr(ok, ==, "OK");
    g_autofree char *line = app_line(app);
    json_object *answer = json_tokener_parse(line), *error = NULL, *code = NULL;

    g_assert_nonnull(answer);
    char *text = g_strdup("ok");
    if (json_object_object_get_ex(answer, "error", &error)) {
        g_free(text);
        g_assert_true(json_object_object_get_ex(error, "code", &code));
        text = g_strdup(json_object_get_string(code));
    }
    json_object_put(answer);
    return text;
}

App *app_ask_as(Side *side, uid_t uid, const char *request)
{
    App *app = app_new_as(side, uid);
    g_autofree char *line = g_strdup_printf("%s\n", request);

    app_say(app, line, strlen(line));
    return app;
}

App *app_expect_as(Side *side, uid_t uid, const char *request, const char *expected)
{
    App *app = app_ask_as(side, uid, request);
    g_autofree char *answer = app_answer(app);

    g_assert_cmpstr(answer, ==, expected);
    g_assert_cmpuint(app->passed, ==, strcmp(expected, "ok") == 0);
    return app;
}

App *app_expect(Side *side, const char *request, const char *expected)
{
    return app_expect_as(side, 1000, request, expected);
}

void app_refused_as(Side *side, uid_t uid, const char *request, const char *expected)
{
    App *app = app_expect_as(side, uid, request, expected);

    world_until(app_ended(app));
    app_close(app);
}

Record app_record(App *app)
{
    world_until(app_has(app, 8));
    Record record = {.type = mux_get32(app->in->data)};
    guint length = mux_get32(app->in->data + 4);

    world_until(app_has(app, 8 + length));
    const guint8 *payload = app->in->data + 8;
    if (record.type == 1) {
        g_assert_cmpuint(length, ==, 24);
        record.sequence = mux_get64(payload);
        record.offset = mux_get64(payload + 8);
        record.length = mux_get64(payload + 16);
    } else {
        record.text = g_strndup((const char *)payload, length);
    }
    g_byte_array_remove_range(app->in, 0, 8 + length);
    return record;
}

size_t record_notify(uint8_t *to, uint64_t offset, uint64_t length)
{
    mux_put32(to, 1);
    mux_put32(to + 4, 16);
    mux_put64(to + 8, offset);
    mux_put64(to + 16, length);
    return 24;
}

void app_notify(const App *app, uint64_t offset, uint64_t length)
{
    uint8_t record[24] = {0};

    app_say(app, record, record_notify(record, offset, length));
}

void app_set(const App *app, const char *json)
{
    g_autofree uint8_t *record = g_malloc(8 + strlen(json));

    mux_put32(record, 2);
    mux_put32(record + 4, (uint32_t)strlen(json));
    memcpy(record + 8, json, strlen(json));
    app_say(app, record, 8 + strlen(json));
}

void app_expect_text(App *app, uint32_t type, const char *text)
{
    Record record = app_record(app);

    g_assert_cmpuint(record.type, ==, type);
    g_assert_cmpstr(record.text, ==, text);
    g_free(record.text);
}

void app_expect_notice(App *app, uint64_t offset, uint64_t length)
{
    Record record = app_record(app);

    g_assert_cmpuint(record.type, ==, 1);
    g_assert_cmpuint(record.offset, ==, offset);
    g_assert_cmpuint(record.length, ==, length);
}
