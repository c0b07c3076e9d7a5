// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// From accept() to a name to a channel. Who has connected and not yet said a name is a visitor:
// there are at most VISITORS_MAX, and OF_ONE_USER of one user, each for NAME_TIME_US at most; the
// oldest makes room. When descriptors
// run out, one that is kept in reserve serves to take a connection and close it, so that the client
// is told at once and the socket does not stay readable for ever.

#include "apps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffers/handle.h"
#include "control.h"
#include "greeting.h"
#include "listener.h"
#include "open.h"
#include "peer.h"
#include "proto/bucket.h"
#include "sources.h"

#define VISITORS_MAX   4096
#define OF_ONE_USER    1024
#define NAME_TIME_US   (10 * G_USEC_PER_SEC)
#define ACCEPTS_A_TURN 64
#define KEPT_FOR_ADMIN 8 // descriptors

typedef struct Visitor {
    MuxWatch watch;
    MuxList node;
    MuxApps *apps;
    gint64 since_us;
    MuxPeer peer; // who it is, as it was accepted; given on with the socket
    uid_t uid;    // his, to count by
    MuxGreeting greeting;
} Visitor;

struct MuxApps {
    MuxRelay *relay;
    MuxListener listener;
    MuxBucket complaints; // in the log
    int reserve;          // a descriptor to be closed when there are no others
    MuxList visitors;
    guint count;
    GHashTable *counts; // how many, by the user
    guint timer;        // GLib source while there are visitors, or 0
};

static guint count_of(const MuxApps *apps, uid_t uid)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(apps->counts, GUINT_TO_POINTER(uid)));
}

static void set_count_of(MuxApps *apps, uid_t uid, guint count)
{
    if (count > 0)
        g_hash_table_insert(apps->counts, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(count));
    else
        g_hash_table_remove(apps->counts, GUINT_TO_POINTER(uid));
}

static void visitor_free(Visitor *visitor)
{
    MuxApps *apps = visitor->apps;

    apps->count--;
    apps->relay->sockets--;
    set_count_of(apps, visitor->uid, count_of(apps, visitor->uid) - 1);
    mux_peer_clear(&visitor->peer);
    mux_list_remove(&visitor->node);
    mux_watch_close(&visitor->watch);
    g_free(visitor);
}

// --- names

static void say_bad_name(Visitor *visitor, const char *why)
{
    g_autofree char *line = g_strdup_printf("ERR bad-name %s\n", why);

    // Whether it would read an answer is not known before the name's end; a line does no harm then.
    (void)send(visitor->watch.fd, line, strlen(line), MSG_NOSIGNAL);
    visitor_free(visitor);
}

// The name is there; the socket goes on to who serves it.
static void serve(Visitor *visitor, int fd)
{
    const MuxGreeting *greeting = &visitor->greeting;
    MuxRelay *relay = visitor->apps->relay;

    if (strcmp(greeting->name, "@control") == 0)
        mux_control_add(relay->controls, fd, greeting->answers, &visitor->peer);
    else if (strcmp(greeting->name, "@buffer") == 0)
        mux_handle_add(relay->handles, fd, greeting->answers, &visitor->peer);
    else
        mux_open(relay, fd, greeting->name, greeting->answers, &visitor->peer);
}

static void on_visitor(MuxWatch *watch)
{
    Visitor *visitor = mux_container(watch, Visitor, watch);
    MuxGreeting *greeting = &visitor->greeting;
    size_t before = greeting->length;
    int r = mux_greeting_read(greeting, watch->fd);

    if (r == MUX_GREETING_MORE) {
        // The end may be right behind what was read, and is not reported again.
        if (greeting->length == before)
            mux_watch_drained(watch, EPOLLIN);
        return;
    }
    if (r == MUX_GREETING_BAD && greeting->length >= MUX_GREETING_MAX) {
        say_bad_name(visitor, "the name is too long, or has no end: end it with \\n or \\0");
        return;
    }
    if (r != 0) {
        visitor_free(visitor);
        return;
    }
    int fd = watch->fd;
    mux_watch_stop(watch);
    serve(visitor, fd);
    visitor_free(visitor);
}

// --- accepting

static gboolean on_timer(gpointer user)
{
    MuxApps *apps = user;
    MuxList *first;

    while ((first = mux_list_first(&apps->visitors))) {
        Visitor *visitor = mux_container(first, Visitor, node);
        if (g_get_monotonic_time() - visitor->since_us < NAME_TIME_US)
            return G_SOURCE_CONTINUE;
        say_bad_name(visitor, "no name came in time");
    }
    apps->timer = 0;
    return G_SOURCE_REMOVE;
}

// Whoever has been silent longest goes: most say their name at once, and must not suffer from those
// who do not.
static void make_room(MuxApps *apps)
{
    MuxList *first = mux_list_first(&apps->visitors);

    if (first)
        visitor_free(mux_container(first, Visitor, node));
}

// The same among one user's, who has too many.
static void make_room_of(MuxApps *apps, uid_t uid)
{
    for (MuxList *node = apps->visitors.next; node != &apps->visitors; node = node->next) {
        Visitor *visitor = mux_container(node, Visitor, node);
        if (visitor->uid == uid) {
            visitor_free(visitor);
            return;
        }
    }
}

static void add_visitor(void *user, int fd)
{
    MuxApps *apps = user;
    Visitor *visitor = g_new0(Visitor, 1);

    (void)mux_peer_read(fd, &visitor->peer);
    visitor->uid = visitor->peer.uid;
    if (count_of(apps, visitor->uid) >= OF_ONE_USER)
        make_room_of(apps, visitor->uid);
    else if (apps->count >= MIN(VISITORS_MAX, (guint)apps->relay->most_fd / 4))
        make_room(apps);
    set_count_of(apps, visitor->uid, count_of(apps, visitor->uid) + 1);
    visitor->apps = apps;
    visitor->since_us = g_get_monotonic_time();
    mux_watch_init(&visitor->watch);
    mux_list_init(&visitor->node);
    mux_list_append(&apps->visitors, &visitor->node);
    apps->count++;
    apps->relay->sockets++;
    int r = mux_watch_start(&visitor->watch, apps->relay->loop, fd, EPOLLIN, on_visitor);
    if (r < 0) {
        close(fd);
        visitor_free(visitor);
        return;
    }
    if (!apps->timer)
        apps->timer = mux_source_timeout(1000, on_timer, apps);
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void complain(MuxApps *apps)
{
    if (mux_bucket_take(&apps->complaints, (uint64_t)g_get_monotonic_time()))
        g_warning("no file descriptors left: connections are turned away (see LimitNOFILE, "
                  "ulimit -n)");
}

// Not one descriptor is left. Whoever waits is turned away, rather than left waiting.
static void turn_away(MuxApps *apps, MuxListener *listener)
{
    complain(apps);
    close(apps->reserve);
    int fd = mux_listener_accept(listener);
    if (fd >= 0)
        close(fd);
    else // not even so: with the next connection
        mux_watch_drained(&listener->watch, EPOLLIN);
    apps->reserve = open_reserve();
}

// The administrator and the daemon's own user get at some of what is kept for the daemon itself, so
// that it can be asked what is wrong.
static int most_fd_for(const MuxApps *apps, int fd)
{
    MuxPeer peer = {0};

    (void)mux_peer_read(fd, &peer);
    bool privileged = mux_peer_is_privileged(&peer);
    mux_peer_clear(&peer);
    return apps->relay->most_fd + (privileged ? KEPT_FOR_ADMIN : 0);
}

// Whether there is a descriptor for it beside those that are kept.
static bool admits(MuxApps *apps, int fd)
{
    if (fd < apps->relay->most_fd)
        return true;
    make_room(apps);
    complain(apps);
    return fd < most_fd_for(apps, fd);
}

void mux_apps_accept(MuxApps *apps, MuxListener *listener, void (*fn)(void *user, int fd),
                     void *user)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = mux_listener_accept(listener);
        if (fd >= 0 && admits(apps, fd)) {
            fn(user, fd);
        } else if (fd >= 0) {
            close(fd);
        } else if (fd == -EMFILE || fd == -ENFILE) {
            turn_away(apps, listener);
            return;
        } else if (fd != -EINTR && fd != -ECONNABORTED) {
            // Nobody waits; or there is no memory, and trying at once would be trying without end.
            mux_watch_drained(&listener->watch, EPOLLIN);
            return;
        }
    }
}

static void on_listener(MuxWatch *watch)
{
    MuxApps *apps = mux_container(watch, MuxApps, listener.watch);

    mux_apps_accept(apps, &apps->listener, add_visitor, apps);
}

MuxApps *mux_apps_new(MuxRelay *relay, const char *path, const MuxAccess *access, GError **error)
{
    MuxApps *apps = g_new0(MuxApps, 1);

    apps->relay = relay;
    apps->reserve = open_reserve();
    mux_bucket_init(&apps->complaints, 1, 1, mux_loop_now(relay->loop));
    apps->counts = g_hash_table_new(g_direct_hash, g_direct_equal);
    mux_list_init(&apps->visitors);
    mux_listener_init(&apps->listener);
    if (mux_listener_open(&apps->listener, relay->loop, path, access, on_listener, error))
        return apps;
    return mux_apps_free(apps);
}

bool mux_apps_set_access(MuxApps *apps, const MuxAccess *access, GError **error)
{
    return mux_listener_set_access(&apps->listener, access, error);
}

MuxApps *mux_apps_free(MuxApps *apps)
{
    MuxList *first;

    if (!apps)
        return NULL;
    mux_listener_close(&apps->listener);
    while ((first = mux_list_first(&apps->visitors)))
        visitor_free(mux_container(first, Visitor, node));
    if (apps->timer)
        g_source_remove(apps->timer);
    g_hash_table_unref(apps->counts);
    if (apps->reserve >= 0)
        close(apps->reserve);
    g_free(apps);
    return NULL;
}
