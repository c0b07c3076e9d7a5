// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The table of buffers: who may have which, how many, and what becomes of them.

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer-app.h"
#include "relay/buffers/buffer-json.h"

#define CREATE "{\"create\": \"clip\", \"size\": 1048576}"

static void test_create(World *world, gconstpointer data)
{
    (void)data;
    App *app = app_expect(&world->guest, CREATE, "ok");
    const MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");

    g_assert_cmpint(lseek(app->memory, 0, SEEK_END), ==, 1 << 20);
    g_assert_cmpint(buffer->state, ==, MUX_BUFFER_READY);
    g_assert_cmpuint(buffer->n_handles, ==, 1);
    g_assert_cmpstr(buffer->owner, ==, "guest");
    g_assert_true(mux_buffers_find_id(world->guest.link, buffer->id) == buffer);
    app_close(app);
    world_until(world->guest.idled == 1);
    g_assert_cmpstr(world->guest.reason, ==, "owner");
    g_assert_cmpuint(mux_buffers_count(world->guest.link), ==, 0);
}

static void test_later(World *world, gconstpointer data)
{
    (void)data;
    world->guest.making = LATER;
    App *app = app_ask_as(&world->guest, 1000, CREATE);
    world_until(world->guest.created == 1);
    app_refused_as(&world->guest, 1000, "{\"open\": \"clip\"}", "no-buffer");
    app_refused_as(&world->guest, 1000, CREATE, "exists");
    world_make(mux_buffers_find(world->guest.link, "clip"));
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "ok");
    g_assert_cmpuint(app->passed, ==, 1);
    app_close(app);
}

static void test_fails(World *world, gconstpointer data)
{
    (void)data;
    world->guest.making = NEVER;
    app_refused_as(&world->guest, 1000, CREATE, "unmappable");
    g_assert_cmpuint(mux_buffers_count(world->guest.link), ==, 0);
    g_assert_cmpuint(world->guest.released, ==, 0);
}

static void test_gone_while_made(World *world, gconstpointer data)
{
    (void)data;
    world->guest.making = LATER;
    App *app = app_ask_as(&world->guest, 1000, CREATE);
    world_until(world->guest.created == 1);
    mux_buffer_gone(mux_buffers_find(world->guest.link, "clip"), "link-down");
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "link-down");
    world_until(world->guest.idled == 1);
    app_close(app);
}

// Its creator goes before it is there; the next one of that name is another.
static void test_left_while_made(World *world, gconstpointer data)
{
    (void)data;
    world->guest.making = LATER;
    world->guest.frees = false;
    App *app = app_ask_as(&world->guest, 1000, CREATE);
    world_until(world->guest.created == 1);
    MuxBuffer *first = mux_buffers_find(world->guest.link, "clip");
    app_close(app);
    world_until(world->guest.idled == 1);
    g_assert_cmpuint(world->guest.released, ==, 1);
    g_assert_null(mux_buffers_find(world->guest.link, "clip"));
    mux_buffer_ready(first); // too late
    g_assert_cmpint(first->state, ==, MUX_BUFFER_GOING);

    world->guest.making = NOW;
    app_close(app_expect(&world->guest, CREATE, "ok"));
    world_until(world->guest.idled == 2);
    g_assert_cmpuint(mux_buffers_count(world->guest.link), ==, 2);
}

static void test_bad(World *world, gconstpointer data)
{
    static const struct {
        const char *request, *code;
    } cases[] = {
        {"{\"create\": \"\", \"size\": 1}", "bad-name"},
        {"{\"create\": \"-x\", \"size\": 1}", "bad-name"},
        {"{\"create\": \"..\", \"size\": 1}", "bad-name"},
        {"{\"create\": \"a/b\", \"size\": 1}", "bad-name"},
        {"{\"create\": \"a:b\", \"size\": 1}", "bad-name"},
        {"{\"create\": \"a\\u0000b\", \"size\": 1}", "bad-request"},
        {"{\"create\": \"clip\"}", "bad-size"},
        {"{\"create\": \"clip\", \"size\": 0}", "bad-size"},
        {"{\"create\": \"clip\", \"size\": 268435457}", "bad-size"},
        {"{\"create\": \"clip\", \"size\": 9223372036854775807}", "bad-size"},
        {"{\"create\": \"clip\", \"size\": 18446744073709551616}", "bad-size"},
        {"{\"create\": \"clip\", \"size\": -1}", "bad-request"},
        {"{\"create\": \"clip\", \"size\": \"1\"}", "bad-request"},
        {"{\"create\": \"clip\", \"size\": 268435456}", "limit"}, // this user may have half
        {"{\"create\": \"clip\", \"size\": 1, \"read_only_for\": \"me\"}", "bad-request"},
        {"{\"create\": \"clip\", \"size\": 1, \"properties\": {\"a\": 1}}", "bad-request"},
        {"{\"create\": \"clip\", \"size\": 1, \"from\": \"/x\"}", "bad-request"},
        {"{\"create\": \"clip\", \"size\": 1, \"more\": 1}", "bad-request"},
        {"{\"open\": \"clip\"}", "no-buffer"},
        {"{\"open\": \"clip\", \"write\": 1}", "bad-request"},
        {"{\"open\": 7}", "bad-request"},
        {"{}", "bad-request"},
        {"[]", "bad-request"},
        {"nonsense", "bad-request"},
        {"", "bad-request"},
    };

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        app_refused_as(&world->guest, 1000, cases[i].request, cases[i].code);
    g_assert_cmpuint(world->guest.created, ==, 0);
    app_refused_as(&world->host, 1000, "{\"create\": \"clip\", \"size\": 1}", "bad-name");
    app_refused_as(&world->host, 1000, "{\"create\": \"web2/clip\", \"size\": 1}", "bad-name");
    app_refused_as(&world->host, 1000, "{\"create\": \"web1/x\", \"from\": \"/x\"}", "denied");
}

// Row 20: what QEMU would not bear is rounded up.
static void test_sizes(World *world, gconstpointer data)
{
    static const struct {
        uint64_t asked, size;
    } cases[] = {{1, 1 << 20}, {(1 << 20) + 1, 2 << 20}, {3 << 20, 4 << 20}, {4 << 20, 4 << 20}};

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *request = g_strdup_printf(
            "{\"create\": \"web1/clip\", \"size\": %" G_GUINT64_FORMAT "}", cases[i].asked);
        App *app = app_expect(&world->host, request, "ok");
        g_assert_cmpint(lseek(app->memory, 0, SEEK_END), ==, (off_t)cases[i].size);
        app_close(app);
        world_until(world->host.idled == i + 1);
    }
}

// Row 3: what is one user's is not another's.
static void test_others(World *world, gconstpointer data)
{
    (void)data;
    App *app = app_expect(&world->guest, CREATE, "ok");
    const MuxBuffer *buffer = mux_buffers_find(world->guest.link, "clip");
    const MuxPeer other = {.known = true, .uid = 1001}, root = {.known = true}, nobody = {0};

    app_refused_as(&world->guest, 1001, "{\"open\": \"clip\"}", "no-buffer");
    app_refused_as(&world->guest, 1001, CREATE, "exists");
    app_close(app_expect_as(&world->guest, 1000, "{\"open\": \"clip\"}", "ok"));
    app_close(app_expect_as(&world->guest, 0, "{\"open\": \"clip\"}", "ok"));
    g_assert_false(mux_buffer_may_release(buffer, &other));
    g_assert_false(mux_buffer_may_open(buffer, &nobody));
    g_assert_true(mux_buffer_may_release(buffer, &root));

    // On the other side whom the policy lets, and without one everybody, but to open it only.
    MuxBuffer *there = world_share(&world->host, &world->guest, "clip");
    app_close(app_expect_as(&world->host, 1001, "{\"open\": \"web1/clip\"}", "ok"));
    g_assert_false(mux_buffer_may_release(there, &other));
    g_assert_true(mux_buffer_may_release(there, &root));
    g_autoptr(GError) error = NULL;
    json_object *rules = json_tokener_parse("{\"@buffers\": {\"users\": [1002]}}");
    world->host.relay.policy = mux_policy_new(rules, &error);
    g_assert_no_error(error);
    app_refused_as(&world->host, 1001, "{\"open\": \"web1/clip\"}", "denied");
    app_refused_as(&world->host, 1001, "{\"create\": \"web1/x\", \"size\": 1}", "denied");
    app_close(app_expect_as(&world->host, 1002, "{\"open\": \"web1/clip\"}", "ok"));
    world->host.relay.policy = mux_policy_free(world->host.relay.policy);
    json_object_put(rules);
    app_close(app);
}

static bool can_be_written(const App *app)
{
    void *base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, app->memory, 0);

    if (base == MAP_FAILED)
        return false;
    munmap(base, 4096);
    return true;
}

static void test_read_only(World *world, gconstpointer data)
{
    (void)data;
    App *app = app_expect(&world->guest,
                          "{\"create\": \"clip\", \"size\": 1, \"read_only_for\": \"host\"}", "ok");
    world_share(&world->host, &world->guest, "clip");
    app_refused_as(&world->host, 1000, "{\"open\": \"web1/clip\", \"write\": true}", "denied");
    App *reader = app_expect(&world->host, "{\"open\": \"web1/clip\"}", "ok");
    g_assert_true(can_be_written(app));
    g_assert_false(can_be_written(reader));
    App *also = app_expect(&world->guest, "{\"open\": \"clip\", \"write\": false}", "ok");
    g_assert_false(can_be_written(also));
    app_close(also);
    app_close(reader);
    app_close(app);
}

static App *create_nth(Side *side, uid_t uid, unsigned n, const char *expected)
{
    g_autofree char *request = g_strdup_printf("{\"create\": \"b%u-%u\", \"size\": 1}", uid, n);

    return app_expect_as(side, uid, request, expected);
}

// Half for one user, and what is going counts until it is freed.
static void test_limits(World *world, gconstpointer data)
{
    App *apps[4];

    (void)data;
    world->guest.relay.buffers.buffers = 4;
    world->guest.frees = false;
    for (unsigned i = 0; i < 2; i++) {
        apps[i] = create_nth(&world->guest, 1000, i, "ok");
        apps[2 + i] = create_nth(&world->guest, 1001, i, "ok");
        if (i == 0)
            continue;
        app_close(create_nth(&world->guest, 1000, 2, "limit"));
        app_close(create_nth(&world->guest, 1002, 0, "limit"));
    }
    MuxBuffer *going = mux_buffers_find(world->guest.link, "b1000-0");
    app_close(apps[0]);
    world_until(world->guest.idled == 1);
    mux_buffer_held(going);
    g_assert_cmpint(going->state, ==, MUX_BUFFER_HELD);
    app_close(create_nth(&world->guest, 1000, 2, "limit"));
    world_free(going);
    apps[0] = create_nth(&world->guest, 1000, 2, "ok");
    for (unsigned i = 0; i < 4; i++)
        app_close(apps[i]);
}

static void test_bytes(World *world, gconstpointer data)
{
    static const char request[] = "{\"create\": \"web1/a\", \"size\": 134217728}";

    (void)data;
    App *app = app_expect(&world->host, request, "ok"); // half of 256 MiB
    app_refused_as(&world->host, 1000, "{\"create\": \"web1/b\", \"size\": 1}", "limit");
    App *other = app_expect_as(&world->host, 1001, "{\"create\": \"web1/b\", \"size\": 1}", "ok");
    // What the guest asks for is counted on the host too.
    const MuxBufferFacts facts = {.name = "c", .size = 128 << 20, .owner = "guest"};
    MuxBufferError error;
    g_assert_null(mux_buffers_add(world->host.link, &facts, &error));
    g_assert_cmpstr(error.code, ==, "limit");
    g_assert_nonnull(strstr(error.text, "256 MiB"));
    app_close(other);
    app_close(app);
}

// What the other side says is checked.
static void test_facts(World *world, gconstpointer data)
{
    static const MuxBufferFacts cases[] = {
        {.name = "../x", .size = 1, .owner = "guest"},
        {.name = "x", .size = 0, .owner = "guest"},
        {.name = "x", .size = UINT64_MAX, .owner = "guest"},
        {.name = "x", .size = 1, .owner = "guest", .read_only_for = "x"},
    };
    MuxBufferError error;

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_null(mux_buffers_add(world->host.link, &cases[i], &error));
        g_assert_null(mux_buffers_add(world->guest.link, &cases[i], &error));
    }
    json_object *list = json_object_new_array();
    const MuxBufferFacts facts = {.name = "x", .size = 1, .owner = "guest", .properties = list};
    g_assert_null(mux_buffers_add(world->host.link, &facts, &error));
    json_object_put(list);
    g_assert_cmpuint(mux_buffers_count(world->host.link), ==, 0);
    // A guest believes its host, up to a number.
    for (guint i = 0; i < MUX_BUFFERS_MOST; i++) {
        g_autofree char *name = g_strdup_printf("b%u", i);
        const MuxBufferFacts fine = {.name = name, .size = 1ull << 40, .owner = "host"};
        g_assert_nonnull(mux_buffers_add(world->guest.link, &fine, &error));
    }
    const MuxBufferFacts more = {.name = "more", .size = 1, .owner = "host"};
    g_assert_null(mux_buffers_add(world->guest.link, &more, &error));
}

// Another VM's: neither side of the link writes it.
static void test_shared(World *world, gconstpointer data)
{
    const MuxBufferFacts facts = {
        .name = "x", .size = 1, .owner = "web2", .read_only_for = "guest"};
    MuxBufferError error;

    (void)data;
    for (size_t i = 0; i < 2; i++) {
        Side *side = i == 0 ? &world->host : &world->guest;
        const MuxBuffer *buffer = mux_buffers_add(side->link, &facts, &error);
        g_assert_nonnull(buffer);
        g_assert_false(mux_buffer_writable_here(buffer));
        json_object *shown = mux_buffer_json(buffer);
        json_object *readers = json_object_object_get(shown, "read_only_for");
        g_assert_cmpstr(json_object_get_string(readers), ==, "both");
        json_object_put(shown);
    }
}

static void test_from(World *world, gconstpointer data)
{
    MuxBufferError error;

    (void)data;
    world->host.making = LATER;
    App *app = app_ask_as(&world->host, 0, "{\"create\": \"web1/clip\", \"from\": \"/frames\"}");
    world_until(world->host.created == 1);
    MuxBuffer *buffer = mux_buffers_find(world->host.link, "clip");
    g_assert_cmpstr(buffer->from, ==, "/frames");
    g_assert_false(mux_buffer_set_size(buffer, 257 << 20, &error));
    g_assert_cmpstr(error.code, ==, "bad-size");
    g_assert_true(mux_buffer_set_size(buffer, 3 << 20, &error));
    g_assert_cmpuint(buffer->size, ==, 4 << 20);
    world_make(buffer);
    g_autofree char *answer = app_answer(app);
    g_assert_cmpstr(answer, ==, "ok");
    app_close(app);
}

// Without a session, or with a daemon that shares no memory.
static void test_without(World *world, gconstpointer data)
{
    (void)data;
    world->guest.relay.memory = NULL;
    app_refused_as(&world->guest, 1000, CREATE, "no-memory");
    world->guest.relay.memory = &world_kind;
    g_ptr_array_set_size(world->host.relay.links, 0);
    world_until(world->guest.downs == 1);
    app_refused_as(&world->guest, 1000, CREATE, "link-down");
}

// The link goes: programs are told.
static void test_link_ends(World *world, gconstpointer data)
{
    (void)data;
    App *app = app_expect(&world->host, "{\"create\": \"web1/clip\", \"size\": 1}", "ok");
    g_ptr_array_set_size(world->host.relay.links, 0);
    app_expect_text(app, 3, "link-down");
    app_close(app);
    world_settle();
    g_assert_cmpuint(world->host.relay.sockets, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/buffers/" name, World, NULL, world_begin, fn, world_end)
    ADD("create", test_create);
    ADD("later", test_later);
    ADD("fails", test_fails);
    ADD("gone-while-made", test_gone_while_made);
    ADD("left-while-made", test_left_while_made);
    ADD("bad", test_bad);
    ADD("sizes", test_sizes);
    ADD("others", test_others);
    ADD("read-only", test_read_only);
    ADD("limits", test_limits);
    ADD("shared", test_shared);
    ADD("bytes", test_bytes);
    ADD("facts", test_facts);
    ADD("from", test_from);
    ADD("without", test_without);
    ADD("link-ends", test_link_ends);
    return g_test_run();
}
