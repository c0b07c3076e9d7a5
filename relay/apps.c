// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// From accept() to a name to a channel. Who has connected and not yet said a name is a visitor:
// there are at most VISITORS_MAX, each for NAME_TIME_US at most, the oldest first. When descriptors
// run out, one that is kept in reserve serves to take a connection and close it, so that the client
// is told at once and the socket does not stay readable for ever.

#include "apps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "control.h"
#include "greeting.h"
#include "joint.h"
#include "link-session.h"
#include "listener.h"
#include "proto/bucket.h"

#define VISITORS_MAX   4096
#define NAME_TIME_US   (10 * G_USEC_PER_SEC)
#define ACCEPTS_A_TURN 64
#define KEPT_FOR_ADMIN 8 // descriptors

typedef struct Visitor {
    MuxWatch watch;
    MuxList node;
    MuxApps *apps;
    gint64 since_us;
    MuxGreeting greeting;
} Visitor;

struct MuxApps {
    MuxRelay *relay;
    MuxListener listener;
    MuxBucket complaints; // in the log
    int reserve;          // a descriptor to be closed when there are no others
    MuxList visitors;
    guint count;
    guint timer; // GLib source while there are visitors, or 0
    MuxControls *controls;
};

static void visitor_free(Visitor *visitor)
{
    visitor->apps->count--;
    mux_list_remove(&visitor->node);
    mux_watch_close(&visitor->watch);
    g_free(visitor);
}

// --- from a name to a channel

// In the guest the name is the service's; on the host, VM/service.
static MuxLink *find_link(const MuxRelay *relay, const char **name)
{
    if (relay->role == MUX_GUEST)
        return g_ptr_array_index(relay->links, 0);

    const char *slash = strchr(*name, '/');
    MuxLink *link = slash ? mux_relay_find(relay, *name, (size_t)(slash - *name)) : NULL;
    if (link)
        *name = slash + 1;
    return link;
}

static MuxCode open_code(int r)
{
    switch (r) {
    case MUX_OPEN_DOWN:
        return MUX_CODE_LINK_DOWN;
    case MUX_OPEN_NAME:
        return MUX_CODE_BAD_NAME;
    default:
        return MUX_CODE_LIMIT;
    }
}

static void open_channel(MuxRelay *relay, int fd, const char *name, bool answers)
{
    MuxChannel *channel;
    MuxLink *link = find_link(relay, &name);

    if (!link) {
        bool slash = strchr(name, '/');
        mux_greeting_refuse(fd, answers, slash ? MUX_CODE_NO_SERVICE : MUX_CODE_BAD_NAME, name,
                            slash ? "there is no such VM (see muxctl vms)"
                                  : "on the host a name is VM/service[:argument]");
        close(fd);
        return;
    }
    MuxJoint *joint = mux_joint_new(link, MUX_JOINT_OPENING, name, strlen(name));
    joint->answers = answers;
    // It is not looked at before the answer is there: what it wrote meanwhile, even if it has gone
    // since, is still to be carried.
    int r = mux_watch_start(&joint->watch, relay->loop, fd, 0, NULL);
    if (r == 0)
        r = mux_session_open(link->session, name, strlen(name), mux_link_nonce(), joint, &channel);
    if (r == 0) {
        joint->channel = channel;
        return;
    }
    mux_greeting_refuse(fd, answers, open_code(r), name, NULL);
    if (joint->watch.fd < 0)
        close(fd);
    link->refused++;
    mux_joint_free(joint, MUX_CODE_CLOSED);
}

static void say_bad_name(Visitor *visitor, const char *why)
{
    g_autofree char *line = g_strdup_printf("ERR bad-name %s\n", why);

    // Whether it would read an answer is not known before the name's end; a line does no harm then.
    (void)send(visitor->watch.fd, line, strlen(line), MSG_NOSIGNAL);
    visitor_free(visitor);
}

static void on_visitor(MuxWatch *watch)
{
    Visitor *visitor = mux_container(watch, Visitor, watch);
    MuxApps *apps = visitor->apps;
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
    if (strcmp(greeting->name, "@control") == 0)
        mux_control_add(apps->controls, fd, greeting->answers);
    else
        open_channel(apps->relay, fd, greeting->name, greeting->answers);
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

static void add_visitor(MuxApps *apps, int fd)
{
    Visitor *visitor = g_new0(Visitor, 1);

    visitor->apps = apps;
    visitor->since_us = g_get_monotonic_time();
    mux_watch_init(&visitor->watch);
    mux_list_init(&visitor->node);
    mux_list_append(&apps->visitors, &visitor->node);
    apps->count++;
    int r = mux_watch_start(&visitor->watch, apps->relay->loop, fd, EPOLLIN, on_visitor);
    if (r < 0) {
        close(fd);
        visitor_free(visitor);
        return;
    }
    if (!apps->timer)
        apps->timer = g_timeout_add_seconds(1, on_timer, apps);
}

// Whoever has been silent longest goes: most say their name at once, and must not suffer from those
// who do not.
static void make_room(MuxApps *apps, bool none_left)
{
    MuxList *first = mux_list_first(&apps->visitors);
    guint most = MIN(VISITORS_MAX, (guint)apps->relay->most_fd / 4);

    if (first && (none_left || apps->count >= most))
        visitor_free(mux_container(first, Visitor, node));
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
static void turn_away(MuxApps *apps)
{
    complain(apps);
    close(apps->reserve);
    int fd = mux_listener_accept(&apps->listener);
    if (fd >= 0)
        close(fd);
    else // not even so: with the next connection
        mux_watch_drained(&apps->listener.watch, EPOLLIN);
    apps->reserve = open_reserve();
}

// The administrator and the daemon's own user get at some of what is kept for the daemon itself, so
// that it can be asked what is wrong.
static int most_fd_for(const MuxApps *apps, int fd)
{
    uid_t uid = mux_address_user(fd);
    bool privileged = uid == 0 || uid == geteuid();

    return apps->relay->most_fd + (privileged ? KEPT_FOR_ADMIN : 0);
}

static void welcome(MuxApps *apps, int fd)
{
    bool none_left = fd >= apps->relay->most_fd;

    make_room(apps, none_left);
    if (none_left)
        complain(apps);
    if (fd >= most_fd_for(apps, fd))
        close(fd);
    else
        add_visitor(apps, fd);
}

static void on_listener(MuxWatch *watch)
{
    MuxApps *apps = mux_container(watch, MuxApps, listener.watch);

    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = mux_listener_accept(&apps->listener);
        if (fd >= 0) {
            welcome(apps, fd);
        } else if (fd == -EMFILE || fd == -ENFILE) {
            turn_away(apps);
            return;
        } else if (fd != -EINTR && fd != -ECONNABORTED) {
            // Nobody waits; or there is no memory, and trying at once would be trying without end.
            mux_watch_drained(watch, EPOLLIN);
            return;
        }
    }
}

MuxApps *mux_apps_new(MuxRelay *relay, const char *path, GError **error)
{
    MuxApps *apps = g_new0(MuxApps, 1);

    apps->relay = relay;
    apps->reserve = open_reserve();
    apps->controls = mux_controls_new(relay);
    mux_bucket_init(&apps->complaints, 1, 1, mux_loop_now(relay->loop));
    mux_list_init(&apps->visitors);
    mux_listener_init(&apps->listener);
    if (mux_listener_open(&apps->listener, relay->loop, path, 0666, on_listener, error))
        return apps;
    return mux_apps_free(apps);
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
    mux_controls_free(apps->controls);
    if (apps->reserve >= 0)
        close(apps->reserve);
    g_free(apps);
    return NULL;
}
