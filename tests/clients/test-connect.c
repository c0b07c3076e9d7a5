// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Opening a channel: answers in one piece and in many, refusals, time limits, and who is not there.

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake.h"
#include "muxclient.h"

typedef struct Script {
    const char *expected;
    const char *answer;
    gboolean slowly;
    gboolean stays; // until the client closes
} Script;

static void play(int fd, gconstpointer data)
{
    const Script *script = data;

    fake_expect(fd, script->expected);
    if (script->slowly)
        fake_say_slowly(fd, script->answer);
    else
        fake_say(fd, script->answer);
    if (script->stays)
        fake_expect_end(fd);
}

// What comes of it; on 0 the descriptor is open.
static int open_script(const Script *script, int timeout_ms, MuxClientRefusal *ret_refusal,
                       int *ret_fd)
{
    Fake fake;

    fake_start(&fake, play, script);
    int r = mux_client_connect(fake.path, "svc:arg", timeout_ms, ret_refusal, ret_fd);
    fake.descriptors += r == 0;
    fake_end(&fake);
    return r;
}

static void check_open(gboolean slowly)
{
    Script script = {"svc:arg\n", "OK\nhello", slowly, FALSE};
    char data[16] = {0};
    int fd = -1;

    g_assert_cmpint(open_script(&script, -1, NULL, &fd), ==, 0);
    // What follows the answer is the channel's; the descriptor blocks and does not outlive exec().
    g_assert_cmpint(recv(fd, data, sizeof(data), MSG_WAITALL), ==, 5);
    g_assert_cmpstr(data, ==, "hello");
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    (void)close(fd);
}

static void test_open(void)
{
    check_open(FALSE);
    check_open(TRUE);
}

static void check_refused(const char *answer, int result, const char *code, const char *text)
{
    for (int slowly = 0; slowly < 2; slowly++) {
        Script script = {"svc:arg\n", answer, slowly, FALSE};
        MuxClientRefusal refusal = {{0}, {0}};
        int fd = -7;

        g_assert_cmpint(open_script(&script, 10000, &refusal, &fd), ==, result);
        g_assert_cmpint(fd, ==, -7);
        g_assert_cmpstr(refusal.code, ==, code);
        g_assert_cmpstr(refusal.text, ==, text);
    }
}

static void test_refused(void)
{
    check_refused("ERR no-service 'svc': no such\n", MUX_CLIENT_NO_SERVICE, "no-service",
                  "'svc': no such");
    check_refused("ERR denied no\n", MUX_CLIENT_DENIED, "denied", "no");
    check_refused("ERR refused \n", MUX_CLIENT_REFUSED, "refused", "");
    check_refused("ERR limit\n", MUX_CLIENT_LIMIT, "limit", "");
    check_refused("ERR timeout x\n", MUX_CLIENT_TIMEOUT, "timeout", "x");
    check_refused("ERR link-down x y\n", MUX_CLIENT_LINK_DOWN, "link-down", "x y");
    check_refused("ERR bad-name x\n", MUX_CLIENT_BAD_NAME, "bad-name", "x");
    check_refused("ERR new-code x\n", MUX_CLIENT_OTHER, "new-code", "x");
    check_refused("ERR other x\n", MUX_CLIENT_OTHER, "other", "x");
    check_refused("", MUX_CLIENT_CLOSED, "closed", "the daemon closed the connection");
    check_refused("O", MUX_CLIENT_CLOSED, "closed", "the daemon closed the connection");
}

static void test_long_refusal(void)
{
    g_autofree char *code = g_strnfill(100, 'c');
    g_autofree char *text = g_strnfill(477, 'x');
    g_autofree char *answer = g_strconcat("ERR ", code, " ", text, "x\xe2\x82\xac€\n", NULL);
    Script script = {"svc:arg\n", answer, FALSE, FALSE};
    MuxClientRefusal refusal;
    int fd = -1;

    g_assert_cmpint(open_script(&script, -1, &refusal, &fd), ==, MUX_CLIENT_OTHER);
    g_assert_cmpuint(strlen(refusal.code), ==, sizeof(refusal.code) - 1);
    g_assert_cmpuint(strlen(refusal.text), ==, 478); // the character that does not fit is left out
}

static void test_nonsense(void)
{
    g_autofree char *endless = g_strnfill(5000, 'x');
    const char *const answers[] = {"\n", "OKAY\n", "ERR\n", "ERR \n", "200 OK\n", endless};

    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        Script script = {"svc:arg\n", answers[i], FALSE, FALSE};
        int fd = -7;
        g_assert_cmpint(open_script(&script, -1, NULL, &fd), ==, -EPROTO);
        g_assert_cmpint(fd, ==, -7);
    }
}

static void test_timeout(void)
{
    const char *const answers[] = {"", "OK"}; // and no more

    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        Script script = {"svc:arg\n", answers[i], FALSE, TRUE};
        MuxClientRefusal refusal;
        int fd = -7;
        gint64 before = g_get_monotonic_time();
        g_assert_cmpint(open_script(&script, 100, &refusal, &fd), ==, MUX_CLIENT_TIMEOUT);
        gint64 took = g_get_monotonic_time() - before;
        g_assert_cmpint(took, >=, 100000);
        g_assert_cmpint(took, <, 5000000);
        g_assert_cmpstr(refusal.code, ==, "timeout");
        g_assert_cmpint(fd, ==, -7);
    }
}

// A daemon that does not even accept: its queue is full.
static void test_full_queue(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *folder = g_dir_make_tmp("mux-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "socket", NULL);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    int waiting = socket(AF_UNIX, SOCK_STREAM, 0);
    int fd = -7;

    (void)g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    g_assert_cmpint(bind(listening, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(listening, 0), ==, 0);
    g_assert_cmpint(connect(waiting, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(mux_client_connect(path, "svc", 100, NULL, &fd), ==, MUX_CLIENT_TIMEOUT);
    g_assert_cmpint(mux_client_connect(path, "svc", 0, NULL, &fd), ==, MUX_CLIENT_TIMEOUT);
    (void)close(waiting);
    (void)close(listening);
    g_assert_cmpint(mux_client_connect(path, "svc", 100, NULL, &fd), ==, -ECONNREFUSED);
    (void)unlink(path);
    g_assert_cmpint(mux_client_connect(path, "svc", 100, NULL, &fd), ==, -ENOENT);
    (void)rmdir(folder);
    g_assert_cmpint(fd, ==, -7);
}

static void test_names(void)
{
    g_autofree char *longest = g_strnfill(5000, 'x');
    g_autofree char *path = g_strnfill(200, 'x');
    MuxClientRefusal refusal;
    int fd = -7;

    g_assert_cmpint(mux_client_connect("/nowhere", "a\nb", -1, &refusal, &fd), ==,
                    MUX_CLIENT_BAD_NAME);
    g_assert_cmpstr(refusal.code, ==, "bad-name");
    g_assert_cmpint(mux_client_connect("/nowhere", "", -1, NULL, &fd), ==, MUX_CLIENT_BAD_NAME);
    g_assert_cmpint(mux_client_connect("/nowhere", longest, -1, NULL, &fd), ==,
                    MUX_CLIENT_BAD_NAME);
    g_assert_cmpint(mux_client_connect(path, "x", -1, NULL, &fd), ==, -ENAMETOOLONG);
    g_assert_cmpint(fd, ==, -7);
}

static void test_environment(void)
{
    Script script = {"svc:arg\n", "OK\n", FALSE, FALSE};
    Fake fake;
    int fd = -1;

    fake_start(&fake, play, &script);
    g_setenv("GUESTMUX_SOCKET", fake.path, TRUE);
    g_assert_cmpint(mux_client_connect(NULL, "svc:arg", -1, NULL, &fd), ==, 0);
    g_unsetenv("GUESTMUX_SOCKET");
    (void)close(fd);
    fake_end(&fake);
}

static void test_words(void)
{
    g_assert_cmpstr(mux_client_result_name(0), ==, "ok");
    g_assert_cmpstr(mux_client_result_name(MUX_CLIENT_LINK_DOWN), ==, "link-down");
    g_assert_cmpstr(mux_client_result_name(MUX_CLIENT_TAKEN), ==, "taken");
    g_assert_cmpstr(mux_client_result_name(1000), ==, "unknown");
    g_assert_cmpstr(mux_client_result_name(-ENOENT), ==, strerror(ENOENT));
    g_autofree char *version = g_strdup_printf("%d.%d.%d", MUX_CLIENT_VERSION_MAJOR,
                                               MUX_CLIENT_VERSION_MINOR, MUX_CLIENT_VERSION_PATCH);
    g_assert_cmpstr(mux_client_version(), ==, version);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/connect/open", test_open);
    g_test_add_func("/client/connect/refused", test_refused);
    g_test_add_func("/client/connect/long-refusal", test_long_refusal);
    g_test_add_func("/client/connect/nonsense", test_nonsense);
    g_test_add_func("/client/connect/timeout", test_timeout);
    g_test_add_func("/client/connect/full-queue", test_full_queue);
    g_test_add_func("/client/connect/names", test_names);
    g_test_add_func("/client/connect/environment", test_environment);
    g_test_add_func("/client/connect/words", test_words);
    return g_test_run();
}
