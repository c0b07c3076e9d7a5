// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each folder is watched, and each one above it for the next name on the way: so it is noticed when
// a folder appears, goes, or is another one now. What is watched is found out anew before every
// call, from the top down, so that nothing can appear unseen in between.
//
// After something was read the descriptor is left alone for PAUSE_MS, whatever it was: the kernel
// gathers what happens meanwhile, and forgets it if it is too much, which is told. So a storm costs
// no more than that many looks a second.

#include "watcher.h"
#include "sources.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_MS     50
#define LONGEST_US   G_USEC_PER_SEC
#define READS_A_LOOK 64 // of up to BUFFER_SIZE; the rest is for the next look
#define STATS_A_LOOK 64
#define BUFFER_SIZE  (16 * 1024)

#define CHANGED_NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define CHANGED_SELF  (IN_DELETE_SELF | IN_MOVE_SELF)

// What a watched folder is watched for.
typedef struct Interest {
    char *path;
    bool all;          // everything in it
    GHashTable *names; // or these: folders on the way to others
} Interest;

struct MuxWatcher {
    MuxWatch watch; // the inotify descriptor
    char **folders;
    GHashTable *interests; // by watch descriptor
    guint pause;           // GLib source, or 0
    bool changed;
    uint64_t since_us; // when that was first seen
    unsigned stats;    // files that may still be looked at, in this look
    bool complained;
    void (*fn)(void *user);
    void *user;
};

static void complain(const char *path, int error)
{
    const char *limit = error == ENOSPC   ? " (fs.inotify.max_user_watches)"
                        : error == EMFILE ? " (fs.inotify.max_user_instances)"
                                          : "";

    g_warning("cannot watch %s: %s%s; what changes there is seen after SIGHUP only", path,
              g_strerror(error), limit);
}

// --- what is watched

static void interest_free(gpointer pointer)
{
    Interest *interest = pointer;

    g_free(interest->path);
    g_hash_table_unref(interest->names);
    g_free(interest);
}

static GHashTable *new_interests(void)
{
    return g_hash_table_new_full(NULL, NULL, NULL, interest_free);
}

// Watches one folder for `name`, or for everything with NULL. 0 or an errno.
static int watch_folder(MuxWatcher *watcher, GHashTable *interests, const char *path,
                        const char *name)
{
    uint32_t mask = CHANGED_NAMES | CHANGED_SELF | (name ? 0 : IN_CLOSE_WRITE);
    int wd = inotify_add_watch(watcher->watch.fd, path, mask | IN_MASK_ADD | IN_ONLYDIR);
    if (wd < 0)
        return errno;

    Interest *interest = g_hash_table_lookup(interests, GINT_TO_POINTER(wd));
    if (!interest) {
        interest = g_new0(Interest, 1);
        interest->path = g_strdup(path);
        interest->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_hash_table_insert(interests, GINT_TO_POINTER(wd), interest);
    }
    interest->all |= !name;
    if (name)
        g_hash_table_add(interest->names, g_strdup(name));
    return 0;
}

// Watches a folder and those above it, as far as they exist. Whether that went well.
static bool watch_path(MuxWatcher *watcher, GHashTable *interests, const char *folder)
{
    g_autofree char *path = g_canonicalize_filename(folder, NULL);
    g_auto(GStrv) names = g_strsplit(path + 1, "/", -1);
    g_autoptr(GString) here = g_string_new("/");

    for (char **name = names;; name++) {
        bool last = !*name || !**name;
        int error = watch_folder(watcher, interests, here->str, last ? NULL : *name);
        if (error == ENOENT || error == ENOTDIR)
            return true;
        // A folder that may be passed but not read hides only that the next one appears.
        if (error && (error != EACCES || last)) {
            if (!watcher->complained)
                complain(here->str, error);
            return false;
        }
        if (last)
            return true;
        if (here->len > 1)
            g_string_append_c(here, '/');
        g_string_append(here, *name);
    }
}

static void watch_all(MuxWatcher *watcher)
{
    GHashTable *before = watcher->interests;
    GHashTableIter iter;
    gpointer wd;
    bool good = true;

    watcher->interests = new_interests();
    for (char **folder = watcher->folders; folder && *folder; folder++)
        good &= watch_path(watcher, watcher->interests, *folder);
    watcher->complained = !good; // once, until it goes well
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &wd, NULL))
        if (!g_hash_table_contains(watcher->interests, wd))
            (void)inotify_rm_watch(watcher->watch.fd, GPOINTER_TO_INT(wd));
    g_hash_table_unref(before);
}

// --- what happened

// Whoever made it is about to write: that is told when it is closed.
static bool is_fresh(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

static bool matters(MuxWatcher *watcher, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    Interest *interest = g_hash_table_lookup(watcher->interests, GINT_TO_POINTER(event->wd));
    if (!interest)
        return false;
    if (event->len == 0) // the folder itself
        return true;
    if (g_hash_table_contains(interest->names, event->name))
        return true;
    if (!interest->all || !(event->mask & IN_CREATE) || watcher->stats == 0)
        return interest->all;
    watcher->stats--;
    return !is_fresh(interest->path, event->name);
}

static bool look_through(MuxWatcher *watcher, const char *base, size_t size)
{
    const struct inotify_event *event;

    for (size_t at = 0; at < size; at += sizeof(*event) + event->len) {
        event = (const struct inotify_event *)(const void *)(base + at);
        if (matters(watcher, event))
            return true;
    }
    return false;
}

// Takes what the kernel has. Whether there was anything, and whether it matters.
static bool take_events(MuxWatcher *watcher, bool *ret_matters)
{
    char buffer[BUFFER_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;

    *ret_matters = false;
    watcher->stats = STATS_A_LOOK;
    for (int i = 0; i < READS_A_LOOK; i++) {
        ssize_t n = read(watcher->watch.fd, buffer, sizeof(buffer));
        if (n <= 0) {
            mux_watch_drained(&watcher->watch, EPOLLIN);
            break;
        }
        any = true;
        *ret_matters = *ret_matters || look_through(watcher, buffer, (size_t)n);
    }
    if (*ret_matters && !watcher->changed) {
        watcher->changed = true;
        watcher->since_us = (uint64_t)g_get_monotonic_time();
    }
    return any;
}

static void rest(MuxWatcher *watcher)
{
    mux_watch_want(&watcher->watch, EPOLLIN);
    watcher->changed = false;
    if (watcher->pause)
        g_source_remove(watcher->pause);
    watcher->pause = 0;
}

static gboolean on_pause_over(gpointer user)
{
    MuxWatcher *watcher = user;
    bool more;
    bool any = take_events(watcher, &more);

    if (watcher->changed) {
        uint64_t now = (uint64_t)g_get_monotonic_time();
        if (more && now - watcher->since_us < LONGEST_US)
            return G_SOURCE_CONTINUE;
    } else if (any) {
        return G_SOURCE_CONTINUE;
    }
    bool changed = watcher->changed;
    watcher->pause = 0;
    rest(watcher);
    if (changed) {
        watch_all(watcher);
        watcher->fn(watcher->user);
    }
    return G_SOURCE_REMOVE;
}

static void on_events(MuxWatch *watch)
{
    MuxWatcher *watcher = mux_container(watch, MuxWatcher, watch);
    bool matters_now;

    (void)take_events(watcher, &matters_now);
    mux_watch_want(watch, 0);
    if (!watcher->pause)
        watcher->pause = mux_source_timeout(PAUSE_MS, on_pause_over, watcher);
}

// --- its life

MuxWatcher *mux_watcher_new(MuxLoop *loop, void (*fn)(void *user), void *user)
{
    MuxWatcher *watcher = g_new0(MuxWatcher, 1);

    watcher->fn = fn;
    watcher->user = user;
    watcher->interests = new_interests();
    mux_watch_init(&watcher->watch);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int r = fd < 0 ? -errno : mux_watch_start(&watcher->watch, loop, fd, EPOLLIN, on_events);
    if (r < 0) {
        complain("folders", -r);
        if (fd >= 0)
            close(fd);
    }
    return watcher;
}

MuxWatcher *mux_watcher_free(MuxWatcher *watcher)
{
    if (!watcher)
        return NULL;
    if (watcher->pause)
        g_source_remove(watcher->pause);
    mux_watch_close(&watcher->watch);
    g_hash_table_unref(watcher->interests);
    g_strfreev(watcher->folders);
    g_free(watcher);
    return NULL;
}

void mux_watcher_set(MuxWatcher *watcher, const char *const *folders)
{
    char **before = watcher->folders;
    bool ignored;

    watcher->folders = g_strdupv((char **)folders);
    g_strfreev(before);
    if (watcher->watch.fd < 0)
        return;
    (void)take_events(watcher, &ignored);
    rest(watcher);
    watch_all(watcher);
}
