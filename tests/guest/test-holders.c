// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Which processes have a device's memory: those of this test, with a file that stands for a device.

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestmux/holders.h"

#define SIZE (1 << 20)
#define MANY 300

typedef struct Fixture {
    char *folder, *path;
    MuxLoop *loop;
    MuxDevices *devices;
    MuxDevice *device;
    MuxHolders *holders;
    MuxSearch search;
    bool done;
    GArray *children; // of pid_t
} Fixture;

static void on_change(void *user)
{
    (void)user;
}

static void set_up(Fixture *f, gconstpointer strict)
{
    f->folder = g_dir_make_tmp("mux-holders-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "device", NULL);
    int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    g_assert_no_errno(ftruncate(fd, SIZE));
    close(fd);
    g_assert_no_errno(mux_loop_new(&f->loop));
    f->devices = mux_devices_new(f->loop, f->folder, on_change, f, NULL);
    f->device = mux_devices_at(f->devices, "device");
    f->holders = mux_holders_new(f->devices, strict != NULL);
    mux_search_init(&f->search);
    f->children = g_array_new(false, false, sizeof(pid_t));
}

static void end_children(Fixture *f)
{
    for (guint i = 0; i < f->children->len; i++) {
        pid_t child = g_array_index(f->children, pid_t, i);
        g_assert_no_errno(kill(child, SIGKILL));
        g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    }
    g_array_set_size(f->children, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", f->folder);

    (void)data;
    end_children(f);
    g_array_unref(f->children);
    mux_holders_free(f->holders);
    mux_device_free(f->device);
    mux_devices_free(f->devices);
    mux_loop_free(f->loop);
    g_assert_true(g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL));
    g_free(f->folder);
    g_free(f->path);
}

// --- processes

static void must(bool good)
{
    if (!good)
        _exit(1);
}

static void map(const Fixture *f, bool write)
{
    int fd = open(f->path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    const int protection = PROT_READ | (write ? PROT_WRITE : 0);

    // cppcheck-suppress leakReturnValNotUsed
    must(mmap(NULL, SIZE, protection, MAP_SHARED, fd, 0) != MAP_FAILED);
    close(fd);
}

static void do_nothing(const Fixture *f)
{
    (void)f;
}

static void do_map(const Fixture *f)
{
    map(f, true);
}

static void do_map_to_read(const Fixture *f)
{
    map(f, false);
}

static void do_map_twice(const Fixture *f)
{
    map(f, false);
    map(f, true);
}

static void do_open(const Fixture *f)
{
    // cppcheck-suppress leakReturnValNotUsed
    must(open(f->path, O_RDONLY | O_CLOEXEC) >= 0);
}

static void do_map_among_many(const Fixture *f)
{
    for (int i = 0; i < MANY; i++) {
        int protection = i & 1 ? PROT_READ : PROT_NONE; // or they would be one
        // cppcheck-suppress leakReturnValNotUsed
        must(mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
        if (i == MANY / 2)
            map(f, true);
    }
}

// By value: the first thread's stack may be gone.
static void *wait_for_ever(void *ready)
{
    if (write(GPOINTER_TO_INT(ready), "1", 1) != 1)
        _exit(1);
    for (;;)
        (void)pause();
    return NULL;
}

// Starts a process that does something, tells that it has, and stays. With `leave`, its first
// thread ends and another one is left.
static void start(Fixture *f, void (*work)(const Fixture *f), bool leave)
{
    int ready[2];
    pthread_t thread;
    char byte;

    g_assert_no_errno(pipe(ready));
    pid_t child = fork();
    g_assert_no_errno(child);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(f->device->fd); // which was inherited
        work(f);
        if (!leave)
            (void)wait_for_ever(GINT_TO_POINTER(ready[1]));
        if (pthread_create(&thread, NULL, wait_for_ever, GINT_TO_POINTER(ready[1])) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    g_array_append_val(f->children, child);
    close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
}

static bool is_zombie(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && strstr(text, ") Z ");
}

// --- searches

static void on_done(MuxSearch *search)
{
    mux_container(search, Fixture, search)->done = true;
}

static void look(Fixture *f, const MuxDevice *device)
{
    f->done = false;
    mux_search_start(&f->search, f->holders, device, on_done);
    while (!f->done)
        g_main_context_iteration(NULL, TRUE);
    g_assert_false(mux_search_is_under_way(&f->search));
}

static void check_holders(Fixture *f, const MuxDevice *device, unsigned holders)
{
    look(f, device);
    g_assert_cmpint(f->search.error, ==, 0);
    g_assert_cmpuint(f->search.holders, ==, holders);
}

static void check_holder(Fixture *f, void (*work)(const Fixture *f), bool leave)
{
    start(f, work, leave);
    pid_t child = g_array_index(f->children, pid_t, 0);
    while (leave && !is_zombie(child))
        g_thread_yield();
    check_holders(f, f->device, 1);
    g_assert_cmpint(f->search.pid, ==, child);
    g_assert_cmpstr(f->search.program, ==, "test-holders");
    end_children(f);
    check_holders(f, f->device, 0);
}

static void test_maps(Fixture *f, gconstpointer data)
{
    (void)data;
    start(f, do_nothing, false);
    check_holders(f, f->device, 0); // this process has it open, and does not count
    end_children(f);
    check_holder(f, do_map, false);
    check_holder(f, do_map_to_read, false);
    check_holder(f, do_map_twice, false);
    check_holder(f, do_map_among_many, false);
}

static void test_first_thread_ended(Fixture *f, gconstpointer data)
{
    (void)data;
    check_holder(f, do_map, true);
}

static void test_several(Fixture *f, gconstpointer data)
{
    (void)data;
    for (int i = 0; i < 5; i++)
        start(f, do_map, i & 1);
    check_holders(f, f->device, 5);
}

static void test_open(Fixture *f, gconstpointer data)
{
    (void)data;
    look(f, f->device);
    if (f->search.error == -EACCES) {
        g_test_skip("not all processes can be looked at here");
        return;
    }
    start(f, do_nothing, false);
    check_holders(f, f->device, 0);
    start(f, do_open, false);
    start(f, do_open, true);
    check_holders(f, f->device, 2);
}

// Memory of a device that is not there any more.
static void test_unplugged(Fixture *f, gconstpointer data)
{
    (void)data;
    start(f, do_map, false);
    check_holders(f, NULL, 0);
    g_assert_no_errno(unlink(f->path));
    mux_devices_gone(f->devices, f->device);
    check_holders(f, NULL, 1);
    end_children(f);
    check_holders(f, NULL, 0);
}

typedef struct Second {
    MuxSearch search;
    Fixture *fixture;
} Second;

static void on_second_done(MuxSearch *search)
{
    mux_container(search, Second, search)->fixture->done = true;
}

static void must_not_be_done(MuxSearch *search)
{
    (void)search;
    g_assert_not_reached();
}

// One that begins while a pass is under way waits for the next one; one may be cancelled.
static void test_two(Fixture *f, gconstpointer data)
{
    Second second = {.fixture = f};

    (void)data;
    mux_search_init(&second.search);
    mux_search_start(&f->search, f->holders, f->device, must_not_be_done);
    g_main_context_iteration(NULL, TRUE);
    start(f, do_map, false);
    mux_search_start(&second.search, f->holders, f->device, on_second_done);
    mux_search_cancel(&f->search);
    while (!f->done)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(second.search.holders, ==, 1);
    look(f, f->device);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Fixture *f, gconstpointer strict);
        bool strict;
    } tests[] = {
        {"/holders/maps", test_maps, false},
        {"/holders/first-thread-ended", test_first_thread_ended, false},
        {"/holders/several", test_several, false},
        {"/holders/open", test_open, true},
        {"/holders/unplugged", test_unplugged, false},
        {"/holders/two", test_two, false},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, tests[i].strict ? "strict" : NULL, set_up, tests[i].fn,
                   tear_down);
    return g_test_run();
}
