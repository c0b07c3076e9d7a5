// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer's handle: opening, what is told and asked on it, and a daemon that says nonsense.

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake-buffer.h"

// ---- Opening ----

typedef struct Script {
    const char *request;
    const char *answer;
    uint64_t size; // of the memory that comes with it; 0: none does
    int flags;     // with which that is opened
    guint extra;   // descriptors
    int seals;
} Script;

#define FIELDS "\"name\":\"clip\",\"link\":\"host\",\"id\":\"" FAKE_ID "\""
#define GOOD                                                                                       \
    "{\"ok\":true,\"buffer\":{" FIELDS ",\"size\":1048576,\"writable\":true,\"state\":\"ready\","  \
    "\"owner\":{\"side\":\"guest\",\"uid\":7,\"gid\":8,\"program\":\"x\"},\"read_only_for\":"      \
    "\"host\",\"properties\":{\"k\":\"v\"},\"handles\":2,\"notices\":3,\"node\":\"/run/n\"}}\n"

static void play(int fd, gconstpointer data)
{
    const Script *script = data;
    int fds[16];

    fake_expect(fd, "@buffer\n");
    fake_say(fd, "OK\n");
    fake_expect(fd, script->request);
    if (script->size == 0) {
        fake_say_slowly(fd, script->answer);
        return;
    }
    int memory = memfd_create("clip", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(memory, (off_t)script->size), ==, 0);
    g_assert_cmpint(fcntl(memory, F_ADD_SEALS, script->seals), ==, 0);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", memory);
    for (guint i = 0; i <= script->extra; i++)
        fds[i] = open(path, script->flags | O_CLOEXEC);
    fake_pass(fd, script->answer, fds, script->extra + 1);
    for (guint i = 0; i <= script->extra; i++)
        (void)close(fds[i]);
    (void)close(memory);
}

#define OPEN    "{\"open\":\"clip\"}\n"
#define ONE_MIB 1048576
#define SEALS   (F_SEAL_SHRINK | F_SEAL_GROW)

static void test_open(void)
{
    const struct {
        MuxClientBufferMode mode;
        Script script;
        gboolean can_shrink;
    } cases[] = {
        {MUX_CLIENT_BUFFER_AS_ALLOWED, {OPEN, GOOD, ONE_MIB, O_RDWR, 0, SEALS}, FALSE},
        {MUX_CLIENT_BUFFER_READ,
         {"{\"open\":\"clip\",\"write\":false}\n", GOOD, ONE_MIB, O_RDWR, 3, SEALS},
         FALSE},
        {MUX_CLIENT_BUFFER_WRITE,
         {"{\"open\":\"clip\",\"write\":true}\n", GOOD, 2 * ONE_MIB, O_RDWR, 15, 0},
         TRUE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake fake;
        MuxClientBuffer *buffer = NULL;
        fake_start(&fake, play, &cases[i].script);
        g_assert_cmpint(mux_client_buffer_open(fake.path, "clip", cases[i].mode, -1, NULL, &buffer),
                        ==, 0);
        g_assert_cmpuint(mux_client_buffer_size(buffer), ==, ONE_MIB);
        g_assert_true(mux_client_buffer_writable(buffer));
        g_assert_cmpint(mux_client_buffer_can_shrink(buffer), ==, cases[i].can_shrink);
        memset(mux_client_buffer_memory(buffer), 1, ONE_MIB);
        const MuxClientBufferInfo *info = mux_client_buffer_info(buffer);
        g_assert_cmpstr(info->name, ==, "clip");
        g_assert_cmpstr(info->buffer, ==, "clip");
        g_assert_cmpstr(info->link, ==, "host");
        g_assert_cmpstr(info->state, ==, "ready");
        g_assert_cmpstr(info->owner_side, ==, "guest");
        g_assert_cmpuint(info->owner.uid, ==, 7);
        g_assert_cmpstr(info->owner.program, ==, "x");
        g_assert_cmpstr(info->read_only_for, ==, "host");
        g_assert_cmpstr(info->node, ==, "/run/n");
        g_assert_cmpuint(info->handles, ==, 2);
        g_assert_cmpuint(info->notices, ==, 3);
        g_assert_cmpstr(mux_client_buffer_property(info, "k"), ==, "v");
        g_assert_null(mux_client_buffer_property(info, "x"));
        g_assert_cmpstr(mux_client_buffer_reason(buffer), ==, "");
        mux_client_buffer_free(buffer);
        fake_end(&fake);
    }
    mux_client_buffer_free(NULL);
}

static void test_create(void)
{
    const MuxClientProperty properties[] = {{"application", "paint"}, {"a\"b", ""}};
    const MuxClientBufferOptions all = {.properties = properties,
                                        .n_properties = 2,
                                        .read_only_for = MUX_CLIENT_GUEST,
                                        .from = "/x"};
    const MuxClientBufferOptions host = {.read_only_for = MUX_CLIENT_HOST};
    const struct {
        uint64_t size;
        const MuxClientBufferOptions *options;
        Script script;
    } cases[] = {
        {4096, NULL, {"{\"create\":\"web1/clip\",\"size\":4096}\n", GOOD, ONE_MIB, O_RDWR, 0, 0}},
        {0, NULL, {"{\"create\":\"web1/clip\",\"size\":0}\n", GOOD, ONE_MIB, O_RDWR, 0, 0}},
        {1,
         &host,
         {"{\"create\":\"web1/clip\",\"size\":1,\"read_only_for\":\"host\"}\n", GOOD, ONE_MIB,
          O_RDWR, 0, 0}},
        {0,
         &all,
         {"{\"create\":\"web1/clip\",\"properties\":{\"application\":\"paint\",\"a\\u0022b\":\"\"},"
          "\"read_only_for\":\"guest\",\"from\":\"/x\"}\n",
          GOOD, ONE_MIB, O_RDWR, 0, 0}},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake fake;
        MuxClientBuffer *buffer = NULL;
        fake_start(&fake, play, &cases[i].script);
        g_assert_cmpint(mux_client_buffer_create(fake.path, "web1/clip", cases[i].size,
                                                 cases[i].options, -1, NULL, &buffer),
                        ==, 0);
        g_assert_cmpstr(mux_client_buffer_info(buffer)->name, ==, "host/clip");
        mux_client_buffer_free(buffer);
        fake_end(&fake);
    }
}

static void test_refused(void)
{
    const struct {
        const char *code;
        int result;
    } cases[] = {
        {"bad-size", MUX_CLIENT_BAD_SIZE},     {"exists", MUX_CLIENT_EXISTS},
        {"no-buffer", MUX_CLIENT_NO_BUFFER},   {"no-memory", MUX_CLIENT_NO_MEMORY},
        {"unmappable", MUX_CLIENT_UNMAPPABLE}, {"failed", MUX_CLIENT_FAILED},
        {"denied", MUX_CLIENT_DENIED},         {"link-down", MUX_CLIENT_LINK_DOWN},
        {"later", MUX_CLIENT_OTHER},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *answer = g_strdup_printf(
            "{\"ok\":false,\"error\":{\"code\":\"%s\",\"text\":\"why\"}}\n", cases[i].code);
        const Script script = {OPEN, answer, 0, 0, 0, 0};
        Fake fake;
        MuxClientRefusal refusal;
        MuxClientBuffer *buffer = NULL;
        fake_start(&fake, play, &script);
        g_assert_cmpint(mux_client_buffer_open(fake.path, "clip", 0, -1, &refusal, &buffer), ==,
                        cases[i].result);
        g_assert_cmpstr(refusal.code, ==, cases[i].code);
        g_assert_cmpstr(refusal.text, ==, "why");
        g_assert_null(buffer);
        fake_end(&fake);
    }
}

// Never is anything mapped that is not there, and no descriptor is left.
static void test_hostile(void)
{
    const struct {
        int result;
        Script script;
    } cases[] = {
        {-EPROTO, {OPEN, GOOD, ONE_MIB - 1, O_RDWR, 0, 0}}, // less than was said
        {-EPROTO, {OPEN, GOOD, 1, O_RDWR, 0, 0}},
        {-EPROTO, {OPEN, GOOD, ONE_MIB, O_RDONLY, 0, 0}}, // it was to be writable
        {-EPROTO, {OPEN, GOOD, ONE_MIB, O_WRONLY, 0, 0}},
        {-EPROTO, {OPEN, GOOD, ONE_MIB, O_PATH, 0, 0}},
        {-EPROTO, {OPEN, GOOD, 0, 0, 0, 0}}, // no descriptor
        {-EPROTO, {OPEN, "{\"ok\":true}\n", ONE_MIB, O_RDWR, 9, 0}},
        {-EPROTO, {OPEN, "{\"ok\":true,\"buffer\":7}\n", ONE_MIB, O_RDWR, 0, 0}},
        {-EPROTO, {OPEN, "{\"ok\":true,\"buffer\":{" FIELDS "}}\n", ONE_MIB, O_RDWR, 0, 0}},
        {-EPROTO,
         {OPEN, "{\"ok\":true,\"buffer\":{" FIELDS ",\"size\":-1}}\n", ONE_MIB, O_RDWR, 0, 0}},
        {-EPROTO,
         {OPEN, "{\"ok\":true,\"buffer\":{" FIELDS ",\"size\":18446744073709551615}}\n", ONE_MIB,
          O_RDWR, 0, 0}},
        {-EPROTO, {OPEN, "{\"ok\":false}\n", ONE_MIB, O_RDWR, 0, 0}},
        {-EPROTO, {OPEN, "junk\n", ONE_MIB, O_RDWR, 0, 0}},
        {MUX_CLIENT_CLOSED, {OPEN, "{\"ok\"", ONE_MIB, O_RDWR, 0, 0}},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake fake;
        MuxClientBuffer *buffer = NULL;
        fake_start(&fake, play, &cases[i].script);
        g_assert_cmpint(mux_client_buffer_open(fake.path, "clip", 0, -1, NULL, &buffer), ==,
                        cases[i].result);
        g_assert_null(buffer);
        fake_end(&fake);
    }
}

static void play_pipe(int fd, gconstpointer data)
{
    int ends[2];

    fake_expect(fd, "@buffer\n");
    fake_say(fd, "OK\n");
    fake_expect(fd, OPEN);
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    fake_pass(fd, data, ends, 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_no_file(void)
{
    Fake fake;
    MuxClientBuffer *buffer = NULL;

    fake_start(&fake, play_pipe, GOOD);
    g_assert_cmpint(mux_client_buffer_open(fake.path, "clip", 0, -1, NULL, &buffer), ==, -EPROTO);
    fake_end(&fake);
}

// Only reading: the mapping too.
static void test_read_only(void)
{
    FakeBuffer fake;

    fake_buffer_start(&fake, 1);
    MuxClientBuffer *buffer = fake_buffer_open(&fake, MUX_CLIENT_BUFFER_READ);
    g_assert_false(mux_client_buffer_writable(buffer));
    g_assert_cmpint(mprotect(mux_client_buffer_memory(buffer), 4096, PROT_READ | PROT_WRITE), ==,
                    -1);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 0, 1, -1), ==, -EACCES);
    g_assert_cmpint(mux_client_buffer_set(buffer, NULL, 0, -1), ==, -EACCES);
    mux_client_buffer_free(buffer);
    fake_buffer_end(&fake);
}

// ---- News ----

static void wait_for_news(MuxClientBuffer *buffer)
{
    struct pollfd item = {.fd = mux_client_buffer_fd(buffer), .events = POLLIN};

    g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
}

static void test_news(void)
{
    static const char properties[] = "{\"a\":\"1\",\"b\":2,\"application\":\"\\u00e4\"}";
    FakeBuffer fake;
    const MuxClientBufferNews *news = NULL;

    fake_buffer_start(&fake, 1);
    MuxClientBuffer *buffer = fake_buffer_open(&fake, 0);
    g_assert_cmpint(mux_client_buffer_next(buffer, 0, &news), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_buffer_next(buffer, 1, &news), ==, MUX_CLIENT_TIMEOUT);
    g_assert_null(news);

    fake_buffer_notice(fake.handles[0], 5, 100, FAKE_SIZE - 100);
    fake_buffer_say(fake.handles[0], 77, "of a later version", 10);
    fake_buffer_say(fake.handles[0], 2, properties, strlen(properties));
    fake_buffer_notice(fake.handles[0], UINT64_MAX, FAKE_SIZE, 0);
    wait_for_news(buffer);
    g_assert_cmpint(mux_client_buffer_next(buffer, 0, &news), ==, 0);
    g_assert_cmpint(news->kind, ==, MUX_CLIENT_BUFFER_NOTICE);
    g_assert_cmpuint(news->sequence, ==, 5);
    g_assert_cmpuint(news->offset, ==, 100);
    g_assert_cmpuint(news->length, ==, FAKE_SIZE - 100);
    wait_for_news(buffer);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, 0);
    g_assert_cmpint(news->kind, ==, MUX_CLIENT_BUFFER_PROPERTIES);
    const MuxClientBufferInfo *info = mux_client_buffer_info(buffer);
    g_assert_cmpuint(info->n_properties, ==, 2);
    g_assert_cmpstr(mux_client_buffer_property(info, "application"), ==, "ä");
    wait_for_news(buffer);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, 0);
    g_assert_cmpuint(news->sequence, ==, UINT64_MAX);
    g_assert_cmpuint(news->length, ==, 0);

    // Byte by byte; and after the end always the end, with the memory still there.
    const unsigned char gone[] = "\3\0\0\0\5\0\0\0owner\1\0\0\0";
    for (size_t i = 0; i < sizeof(gone) - 1; i++) {
        int r = mux_client_buffer_next(buffer, 0, &news);
        g_assert_cmpint(r, ==, i < 13 ? MUX_CLIENT_AGAIN : MUX_CLIENT_GONE);
        g_assert_cmpint(send(fake.handles[0], gone + i, 1, 0), ==, 1);
    }
    g_assert_cmpstr(mux_client_buffer_reason(buffer), ==, "owner");
    g_assert_cmpint(mux_client_buffer_notify(buffer, 0, 1, -1), ==, MUX_CLIENT_GONE);
    memset(mux_client_buffer_memory(buffer), 1, mux_client_buffer_size(buffer));
    mux_client_buffer_free(buffer);
    fake_buffer_end(&fake);
}

static void test_bad_news(void)
{
    const struct {
        const char *payload;
        uint32_t type;
        int result;
    } cases[] = {
        {"short", 1, -EPROTO},
        {"1234567812345678123456781", 1, -EPROTO},
        {"123456781234567812345678", 1, -EPROTO}, // beyond the end
        {"", 2, -EPROTO},
        {"[1]", 2, -EPROTO},
        {"{\"a\":", 2, -EPROTO},
        {"", 3, MUX_CLIENT_GONE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        FakeBuffer fake;
        const MuxClientBufferNews *news = NULL;
        fake_buffer_start(&fake, 1);
        MuxClientBuffer *buffer = fake_buffer_open(&fake, 0);
        fake_buffer_say(fake.handles[0], cases[i].type, cases[i].payload, strlen(cases[i].payload));
        fake_buffer_notice(fake.handles[0], 1, 2, 3);
        g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, cases[i].result);
        g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==,
                        cases[i].result == -EPROTO ? 0 : cases[i].result);
        g_assert_cmpstr(mux_client_buffer_reason(buffer), ==,
                        cases[i].result == -EPROTO ? "" : "the daemon does not say why");
        mux_client_buffer_free(buffer);
        fake_buffer_end(&fake);
    }
}

// Ranges that wrap; a record that is too long; an end without a word.
static void test_ends(void)
{
    FakeBuffer fake;
    const MuxClientBufferNews *news = NULL;

    fake_buffer_start(&fake, 3);
    MuxClientBuffer *buffer = fake_buffer_open(&fake, 0);
    fake_buffer_notice(fake.handles[0], 1, 1, UINT64_MAX);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, -EPROTO);
    fake_buffer_notice(fake.handles[0], 1, UINT64_MAX, 2);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, -EPROTO);
    g_assert_cmpint(send(fake.handles[0], "\1\0\0\0\1\0\1\0", 8, 0), ==, 8);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, -EMSGSIZE);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, -EMSGSIZE);
    mux_client_buffer_free(buffer);

    buffer = fake_buffer_open(&fake, 0);
    g_assert_cmpint(send(fake.handles[1], "\1\0\0\0\1", 5, 0), ==, 5);
    g_assert_cmpint(shutdown(fake.handles[1], SHUT_RDWR), ==, 0);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 0, 1, -1), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_buffer_next(buffer, -1, &news), ==, MUX_CLIENT_CLOSED);
    g_assert_cmpint(mux_client_buffer_next(buffer, 0, &news), ==, MUX_CLIENT_CLOSED);
    mux_client_buffer_free(buffer);

    // Descriptors that nobody asked for.
    buffer = fake_buffer_open(&fake, 0);
    fake_pass(fake.handles[2], "\3\1\1\1", &fake.memory, 1);
    guint before = fake_descriptors();
    g_assert_cmpint(mux_client_buffer_next(buffer, 0, &news), ==, MUX_CLIENT_AGAIN);
    g_assert_cmpuint(fake_descriptors(), ==, before);
    mux_client_buffer_free(buffer);
    fake_buffer_end(&fake);
}

// ---- Telling ----

static void test_tell(void)
{
    const MuxClientProperty changes[] = {{"a", "\n"}, {"b", NULL}};
    static const char set[] = "\2\0\0\0\x17\0\0\0{\"a\":\"\\u000a\",\"b\":null}";
    static const char notify[] = "\1\0\0\0\x10\0\0\0\2\1\0\0\0\0\0\0\3\0\0\0\0\0\0\0";
    FakeBuffer fake;
    char got[64];

    fake_buffer_start(&fake, 1);
    MuxClientBuffer *buffer = fake_buffer_open(&fake, 0);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 0, FAKE_SIZE + 1, -1), ==, -EINVAL);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 1, UINT64_MAX, -1), ==, -EINVAL);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 258, 3, -1), ==, 0);
    g_assert_cmpint(recv(fake.handles[0], got, sizeof(got), 0), ==, sizeof(notify) - 1);
    g_assert_cmpmem(got, sizeof(notify) - 1, notify, sizeof(notify) - 1);

    g_autofree char *huge = g_strnfill(70000, 'x');
    const MuxClientProperty too_long = {"a", huge};
    g_assert_cmpint(mux_client_buffer_set(buffer, &too_long, 1, -1), ==, -EMSGSIZE);
    g_assert_cmpint(mux_client_buffer_set(buffer, changes, 2, -1), ==, 0);
    g_assert_cmpint(recv(fake.handles[0], got, sizeof(got), 0), ==, sizeof(set) - 1);
    g_assert_cmpmem(got, sizeof(set) - 1, set, sizeof(set) - 1);
    mux_client_buffer_free(buffer);
    fake_buffer_end(&fake);
}

// A daemon that does not read is told when it does, each record whole.
static void test_slow_daemon(void)
{
    const int small = 1;
    FakeBuffer fake;
    g_autofree char *text = g_strnfill(40000, 'x');
    const MuxClientProperty property = {"a", text};
    int records = 0;

    fake_buffer_start(&fake, 1);
    MuxClientBuffer *buffer = fake_buffer_open(&fake, 0);
    g_assert_cmpint(
        setsockopt(mux_client_buffer_fd(buffer), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), ==,
        0);
    int r;
    while ((r = mux_client_buffer_set(buffer, &property, 1, 0)) == 0)
        records++;
    g_assert_cmpint(r, ==, MUX_CLIENT_AGAIN);
    g_assert_cmpint(mux_client_buffer_notify(buffer, 0, 1, 1), ==, MUX_CLIENT_TIMEOUT);
    const size_t one = 8 + 40000 + 8;
    g_autofree char *got = g_malloc(one * (size_t)records);
    size_t n = 0;
    while (n < one * (size_t)records) {
        ssize_t piece = recv(fake.handles[0], got + n, one * (size_t)records - n, MSG_DONTWAIT);
        if (piece > 0)
            n += (size_t)piece;
        else
            (void)mux_client_buffer_set(buffer, &property, 0, 0); // sends what is left
    }
    for (int i = 0; i < records; i++)
        g_assert_cmpmem(got + one * (size_t)i, 8, "\2\0\0\0\x48\x9c\0\0", 8);
    mux_client_buffer_free(buffer);
    fake_buffer_end(&fake);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/buffer/open", test_open);
    g_test_add_func("/client/buffer/create", test_create);
    g_test_add_func("/client/buffer/refused", test_refused);
    g_test_add_func("/client/buffer/hostile", test_hostile);
    g_test_add_func("/client/buffer/no-file", test_no_file);
    g_test_add_func("/client/buffer/read-only", test_read_only);
    g_test_add_func("/client/buffer/news", test_news);
    g_test_add_func("/client/buffer/bad-news", test_bad_news);
    g_test_add_func("/client/buffer/ends", test_ends);
    g_test_add_func("/client/buffer/tell", test_tell);
    g_test_add_func("/client/buffer/slow-daemon", test_slow_daemon);
    return g_test_run();
}
