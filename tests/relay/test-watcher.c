// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Folders that are watched: one call for many changes, folders that come and go, storms.

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/watcher.h"

#define CALLED_MS 2000 // it comes within this time
#define QUIET_MS  150  // nothing comes for so long

typedef struct Fixture {
    char *root, *folder;
    MuxLoop *loop;
    MuxWatcher *watcher;
    unsigned calls;
} Fixture;

static void on_change(void *user)
{
    ((Fixture *)user)->calls++;
}

static void watch(Fixture *f, const char *first, const char *second)
{
    const char *const folders[] = {first, second, NULL};
    mux_watcher_set(f->watcher, folders);
}

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    f->root = g_dir_make_tmp("mux-watcher-XXXXXX", NULL);
    f->folder = g_build_filename(f->root, "a", "b", NULL);
    g_assert_no_errno(mux_loop_new(&f->loop));
    f->watcher = mux_watcher_new(f->loop, on_change, f);
    watch(f, f->folder, NULL);
}

static void shell(const Fixture *f, const char *script)
{
    const char *argv[] = {"/bin/sh", "-ec", script, NULL};
    int status;

    g_assert_true(
        g_spawn_sync(f->root, (char **)argv, NULL, 0, NULL, NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *remove = g_strdup_printf("cd /; rm -rf '%s'", f->root);

    (void)data;
    mux_watcher_free(f->watcher);
    mux_loop_free(f->loop);
    shell(f, remove);
    g_free(f->root);
    g_free(f->folder);
}

static gboolean on_time(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

// Lets the loop run for so long, or until there were `calls` calls.
static void run(const Fixture *f, unsigned ms, unsigned calls)
{
    bool over = false;
    guint timer = g_timeout_add(ms, on_time, &over);

    while (!over && f->calls < calls)
        g_main_context_iteration(NULL, TRUE);
    if (!over)
        g_source_remove(timer);
}

// Exactly one call for what was done since the last check.
static void check_called(Fixture *f)
{
    run(f, CALLED_MS, 1);
    g_assert_cmpuint(f->calls, ==, 1);
    run(f, QUIET_MS, 2);
    g_assert_cmpuint(f->calls, ==, 1);
    f->calls = 0;
}

static void check_quiet(const Fixture *f)
{
    run(f, QUIET_MS, 1);
    g_assert_cmpuint(f->calls, ==, 0);
}

static void test_files(Fixture *f, gconstpointer data)
{
    (void)data;
    shell(f, "mkdir -p a/b; echo 1 >a/b/old");
    watch(f, f->folder, NULL);
    check_quiet(f);
    static const char *const scripts[] = {
        "echo 1 >a/b/file",
        "echo 2 >>a/b/file",
        "echo 3 >a/b/.new; mv a/b/.new a/b/file",
        "echo 4 >outside; mv outside a/b/file",
        "mv a/b/file outside",
        "ln -s ../../outside a/b/link",
        "rm a/b/link",
        "ln outside a/b/hard",
        "mkdir a/b/folder",
        "rmdir a/b/folder",
        "for n in 1 2 3 4 5 6 7 8 9; do echo $n >a/b/$n; done; rm a/b/[1-9]",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        g_test_message("%s", scripts[i]);
        shell(f, scripts[i]);
        check_called(f);
    }
    shell(f, "cat a/b/old >/dev/null; ls a/b >/dev/null; chmod 600 a/b/old; touch a/other outside");
    check_quiet(f);
}

static void test_socket(Fixture *f, gconstpointer data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)data;
    shell(f, "mkdir -p a/b");
    watch(f, f->folder, NULL);
    g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", f->folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof(address)));
    check_called(f);
    g_assert_no_errno(unlink(address.sun_path));
    check_called(f);
    close(fd);
}

// A file that is being written is told of when it is closed.
static void test_half_written(Fixture *f, gconstpointer data)
{
    (void)data;
    shell(f, "mkdir -p a/b");
    watch(f, f->folder, NULL);
    g_autofree char *path = g_build_filename(f->folder, "slow", NULL);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    check_quiet(f);
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    check_quiet(f);
    close(fd);
    check_called(f);
}

static void test_appears(Fixture *f, gconstpointer data)
{
    (void)data;
    check_quiet(f);
    shell(f, "mkdir other; mkdir a");
    check_called(f);
    shell(f, "mkdir a/c; touch a/file");
    check_quiet(f);
    shell(f, "mkdir a/b");
    check_called(f);
    shell(f, "echo 1 >a/b/file");
    check_called(f);
    // All at once, and what is in it already.
    shell(f, "rm -r a");
    check_called(f);
    shell(f, "mkdir -p a/b; echo 1 >a/b/file");
    check_called(f);
    shell(f, "echo 2 >a/b/file");
    check_called(f);
}

static void test_moves(Fixture *f, gconstpointer data)
{
    (void)data;
    shell(f, "mkdir -p a/b c/b");
    watch(f, f->folder, NULL);
    shell(f, "mv a gone");
    check_called(f);
    shell(f, "echo 1 >gone/b/file");
    check_quiet(f);
    shell(f, "mv c a");
    check_called(f);
    shell(f, "echo 1 >a/b/file");
    check_called(f);
    shell(f, "mv a/b gone/d");
    check_called(f);
    shell(f, "echo 1 >gone/d/file");
    check_quiet(f);
    shell(f, "ln -s ../gone/d a/b");
    check_called(f);
    shell(f, "echo 2 >gone/d/file");
    check_called(f);
    shell(f, "ln -sfn ../gone a/b");
    check_called(f);
    shell(f, "echo 2 >gone/file");
    check_called(f);
}

static void test_set(Fixture *f, gconstpointer data)
{
    g_autofree char *second = g_build_filename(f->root, "c", NULL);

    (void)data;
    shell(f, "mkdir -p a/b c");
    watch(f, f->folder, second); // what was before is not told
    check_quiet(f);
    shell(f, "echo 1 >a/b/file; echo 1 >c/file");
    check_called(f);
    shell(f, "echo 1 >a/b/file");
    watch(f, second, NULL);
    check_quiet(f);
    shell(f, "echo 1 >a/b/file");
    check_quiet(f);
    shell(f, "echo 1 >c/file");
    check_called(f);
    mux_watcher_set(f->watcher, NULL);
    shell(f, "echo 1 >c/file");
    check_quiet(f);
}

typedef struct Storm {
    Fixture *fixture;
    unsigned files;
} Storm;

static gboolean on_storm(gpointer user)
{
    Storm *storm = user;

    for (int i = 0; i < 100; i++) {
        g_autofree char *path =
            g_strdup_printf("%s/file-%u", storm->fixture->folder, storm->files++ % 1000);
        g_assert_true(g_file_set_contents_full(path, "x", 1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    }
    return G_SOURCE_CONTINUE;
}

// It is told each second, not at each change, and once after the end.
static void test_storm(Fixture *f, gconstpointer data)
{
    Storm storm = {.fixture = f};

    (void)data;
    shell(f, "mkdir -p a/b");
    watch(f, f->folder, NULL);
    guint source = g_timeout_add(10, on_storm, &storm);
    run(f, 2700, 100);
    g_assert_cmpuint(f->calls, >=, 1);
    g_assert_cmpuint(f->calls, <=, 2);
    g_source_remove(source);
    f->calls = 0;
    check_called(f);
    g_assert_cmpuint(storm.files, >, 1000);
}

// More than the kernel keeps, while nobody looks.
static void test_overflow(Fixture *f, gconstpointer data)
{
    (void)data;
    shell(f, "mkdir -p a/b");
    watch(f, f->folder, NULL);
    g_autofree char *one = g_build_filename(f->folder, "1", NULL);
    g_autofree char *two = g_build_filename(f->folder, "2", NULL);
    for (int i = 0; i < 20000; i++) {
        const char *path = i & 1 ? one : two;
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        g_assert_no_errno(unlink(path));
    }
    check_called(f);
    shell(f, "echo 1 >a/b/file");
    check_called(f);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/watcher/files", test_files},
        {"/watcher/socket", test_socket},
        {"/watcher/half-written", test_half_written},
        {"/watcher/appears", test_appears},
        {"/watcher/moves", test_moves},
        {"/watcher/set", test_set},
        {"/watcher/storm", test_storm},
        {"/watcher/overflow", test_overflow},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].fn, tear_down);
    return g_test_run();
}
