// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is said on a handle.

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer-app.h"
#include "proto/bytes.h"

#define SIZE   (1u << 20)
#define CREATE "{\"create\": \"clip\", \"size\": 1048576}"
#define OPEN   "{\"open\": \"clip\"}"

// The same buffer on both sides, with its creator in the guest.
static App *share(World *world)
{
    App *app = app_expect(&world->guest, CREATE, "ok");

    world_share(&world->host, &world->guest, "clip");
    return app;
}

// --- notices

static void test_notices(World *world, gconstpointer data)
{
    (void)data;
    App *owner = share(world);
    App *here = app_expect(&world->guest, OPEN, "ok");
    App *there = app_expect(&world->host, "{\"open\": \"web1/clip\"}", "ok");

    app_notify(owner, 4096, 100);
    app_expect_notice(here, 4096, 100);
    app_expect_notice(there, 4096, 100);
    app_notify(there, 0, SIZE);
    app_expect_notice(here, 0, SIZE);
    app_expect_notice(owner, 0, SIZE); // and not its own
    app_notify(here, SIZE, 0);
    app_expect_notice(owner, SIZE, 0);
    app_expect_notice(there, SIZE, 0);
    g_assert_cmpuint(mux_buffers_find(world->host.link, "clip")->notices, ==, 3);
    g_assert_cmpuint(mux_buffers_find(world->guest.link, "clip")->sequence, ==, 3);
    app_close(there);
    app_close(here);
    app_close(owner);
}

static void hear(World *world, uint64_t id, uint64_t sequence, uint64_t offset, uint64_t length)
{
    const MuxNotice notice = {.id = id, .sequence = sequence, .offset = offset, .length = length};
    mux_buffers_notice(world->guest.link, &(MuxEvent){.type = MUX_EVENT_NOTICE, .notice = &notice});
}

// News of a buffer that this side has yet to be told of: of the newest buffers, all of it.
static void test_early_notices(World *world, gconstpointer data)
{
    (void)data;
    world->guest.making = LATER;
    App *app = app_ask_as(&world->guest, 1000, CREATE);
    world_until(world->guest.created == 1);
    MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    uint64_t id = world->guest.next_id + 1; // that it will have
    hear(world, 77, 1, 0, 1);               // of another
    hear(world, id, 1, 4096, 100);
    hear(world, id, 2, 8192, 8);
    buffer->id = id;
    hear(world, id, 3, 0, 1);
    world_make(buffer);
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "ok");
    app_expect_notice(app, 0, 8200);
    g_assert_cmpuint(buffer->sequence, ==, 3);
    app_close(app);
}

// What one says at once is one notice, of all that it was about.
static void test_union(World *world, gconstpointer data)
{
    uint8_t records[3 * 24];

    (void)data;
    App *owner = share(world), *other = app_expect(&world->guest, OPEN, "ok");
    size_t n = record_notify(records, 8192, 10);
    n += record_notify(records + n, 100, 1);
    n += record_notify(records + n, 500, 10);
    app_say(owner, records, n);
    Record record = app_record(other);
    g_assert_cmpuint(record.sequence, ==, 3);
    g_assert_cmpuint(record.offset, ==, 100);
    g_assert_cmpuint(record.length, ==, 8202 - 100);
    app_close(other);
    app_close(owner);
}

static guint socket_holds(const App *app)
{
    guint size = 64;

    g_assert_cmpint(setsockopt(app->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), ==, 0);
    return size;
}

// Row 19: one that does not read costs no more than what its socket holds, and then gets what there
// was as one.
static void test_storm(World *world, gconstpointer data)
{
    enum { ROUNDS = 20000 };
    uint64_t sequence = 0, low = UINT64_MAX, high = 0;

    (void)data;
    App *owner = share(world), *deaf = app_expect(&world->guest, OPEN, "ok");
    App *there = app_expect(&world->host, "{\"open\": \"web1/clip\"}", "ok");
    (void)socket_holds(deaf);
    for (guint i = 0; i < ROUNDS; i++) {
        app_notify(owner, i, 1);
        if (i % 64 == 0)
            world_settle();
    }
    const MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    world_until(buffer->sequence == ROUNDS);
    // Both who did not read have it all, in far fewer records.
    App *const readers[] = {deaf, there};
    for (size_t i = 0; i < G_N_ELEMENTS(readers); i++) {
        guint records = 0;
        low = UINT64_MAX;
        high = sequence = 0;
        while (high < ROUNDS) {
            Record record = app_record(readers[i]);
            g_assert_cmpuint(record.sequence, >, sequence);
            sequence = record.sequence;
            low = MIN(low, record.offset);
            high = MAX(high, record.offset + record.length);
            records++;
        }
        g_assert_cmpuint(low, ==, 0);
        g_assert_cmpuint(records, <, ROUNDS / 10);
    }
    app_close(there);
    app_close(deaf);
    app_close(owner);
}

// The other daemon says what cannot be.
static void test_bad_notices(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(
        &world->guest, "{\"create\": \"clip\", \"size\": 1, \"read_only_for\": \"host\"}", "ok");
    MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    const MuxNotice cases[] = {
        {.id = buffer->id, .sequence = 1, .length = 1}, // the host may not write it
        {.id = buffer->id + 1, .sequence = 1, .length = 1},
        {.id = 0},
    };
    const MuxNotice bad[] = {
        {.id = buffer->id, .sequence = 1, .offset = SIZE, .length = 1},
        {.id = buffer->id, .sequence = 1, .offset = UINT64_MAX, .length = 2},
        {.id = buffer->id, .sequence = 1, .offset = 1, .length = UINT64_MAX},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        mux_buffers_notice(world->guest.link,
                           &(MuxEvent){.type = MUX_EVENT_NOTICE, .notice = &cases[i]});
    buffer->host_writes = true;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        mux_buffers_notice(world->guest.link,
                           &(MuxEvent){.type = MUX_EVENT_NOTICE, .notice = &bad[i]});
    g_assert_cmpuint(buffer->notices, ==, 0);
    // A sequence goes up by one at least, and not to where it would wrap.
    const MuxNotice far = {.id = buffer->id, .sequence = UINT64_MAX, .length = 7};
    mux_buffers_notice(world->guest.link, &(MuxEvent){.notice = &far});
    Record record = app_record(owner);
    g_assert_cmpuint(record.sequence, ==, 1);
    g_assert_cmpuint(record.length, ==, 7);
    app_close(owner);
}

// --- properties

static void test_properties(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(
        &world->guest, "{\"create\": \"clip\", \"size\": 1, \"properties\": {\"a\": \"1\"}}", "ok");
    App *other = app_expect(&world->guest, OPEN, "ok");

    app_set(owner, "{\"b\":\"2\",\"a\":null,\"none\":null}");
    app_expect_text(owner, 2, "{\"b\":\"2\"}");
    app_expect_text(other, 2, "{\"b\":\"2\"}");
    g_assert_cmpuint(world->guest.set, ==, 1);
    g_assert_cmpstr(world->guest.changes, ==, "{\"b\":\"2\",\"a\":null}");
    // Nothing new, and what cannot be: only who said it is told how it is.
    app_set(owner, "{\"b\":\"2\"}");
    app_expect_text(owner, 2, "{\"b\":\"2\"}");
    app_set(owner, "{\"c\":3}");
    app_expect_text(owner, 2, "{\"b\":\"2\"}");
    app_set(owner, "{\"bad name\":\"x\"}");
    app_expect_text(owner, 2, "{\"b\":\"2\"}");
    g_autofree char *text = g_strnfill(MUX_BUFFER_TEXT_MAX, 'x');
    g_autofree char *big = g_strdup_printf("{\"c\":\"%s\"}", text);
    app_set(owner, big);
    app_expect_text(owner, 2, "{\"b\":\"2\"}");
    g_assert_cmpuint(world->guest.set, ==, 1);

    g_autoptr(GError) error = NULL;
    MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    json_object *told = json_tokener_parse("{\"c\": \"3\"}"),
                *wrong = json_tokener_parse("{\"c\": 3}");
    g_assert_true(mux_buffer_changed(buffer, told, &error));
    app_expect_text(other, 2, "{\"c\":\"3\"}");
    app_expect_text(owner, 2, "{\"c\":\"3\"}");
    g_assert_cmpuint(world->guest.set, ==, 1); // the other side knows
    g_assert_false(mux_buffer_changed(buffer, wrong, &error));
    g_assert_nonnull(error);
    json_object_put(told);
    json_object_put(wrong);
    app_close(other);
    app_close(owner);
}

static void test_many_properties(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    g_autoptr(GString) line = g_string_new("{\"p0\":\"\"");

    for (int i = 1; i < MUX_BUFFER_PROPERTIES; i++)
        g_string_append_printf(line, ",\"p%d\":\"\"", i);
    g_string_append_c(line, '}');
    app_set(owner, line->str);
    app_expect_text(owner, 2, line->str);
    app_set(owner, "{\"one-more\":\"\"}");
    app_expect_text(owner, 2, line->str);
    app_close(owner);
}

// --- the end

static void test_gone(World *world, gconstpointer data)
{
    (void)data;
    App *owner = share(world);
    App *here = app_expect(&world->guest, OPEN, "ok");
    App *there = app_expect(&world->host, "{\"open\": \"web1/clip\"}", "ok");

    app_close(owner);
    app_expect_text(here, 3, "owner");
    g_assert_cmpuint(world->guest.released, ==, 1);
    g_assert_cmpuint(world->guest.idled, ==, 0); // one has not closed yet
    app_refused_as(&world->guest, 1000, OPEN, "no-buffer");
    app_notify(here, 0, 1); // too late to matter
    app_close(here);
    world_until(world->guest.idled == 1);
    mux_buffer_gone(mux_buffers_find(world->host.link, "clip"), "owner");
    app_expect_text(there, 3, "owner");
    app_close(there);
    world_until(world->host.idled == 1);
    g_assert_cmpuint(world->host.released, ==, 0);
}

// One that does not close is closed; what waited for it is not told any more.
static void test_stays(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    mux_buffer_release(mux_buffers_find(world->guest.link, "clip"), "released");
    app_expect_text(owner, 3, "released");
    world_until(world->guest.idled == 1);
    world_until(app_ended(owner));
    g_assert_cmpuint(owner->in->len, ==, 0);
    app_close(owner);
}

// One that says no more may still be told.
static void test_half_closed(World *world, gconstpointer data)
{
    (void)data;
    App *owner = app_expect(&world->guest, CREATE, "ok");
    App *app = app_ask_as(&world->guest, 1000, OPEN);
    g_assert_cmpint(shutdown(app->fd, SHUT_WR), ==, 0);
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "ok");
    app_notify(owner, 1, 2);
    app_expect_notice(app, 1, 2);
    app_close(app);
    world_until(mux_buffers_find(world->guest.link, "clip")->n_handles == 1);
    app_close(owner);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); // warnings belong to it
#define ADD(name, fn) g_test_add("/handle/" name, World, NULL, world_begin, fn, world_end)
    ADD("notices", test_notices);
    ADD("union", test_union);
    ADD("storm", test_storm);
    ADD("early-notices", test_early_notices);
    ADD("bad-notices", test_bad_notices);
    ADD("properties", test_properties);
    ADD("many-properties", test_many_properties);
    ADD("gone", test_gone);
    ADD("stays", test_stays);
    ADD("half-closed", test_half_closed);
    return g_test_run();
}
