// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The channel's local end is a socket pair: one socket belongs to a joint like any other, the other
// one is ours. So what is announced has credit, order and turns as all data has, and a peer that
// does not read it costs nothing: not lines are kept, but the names of services about which the
// peer is to be told, and a line is made when there is room for it.
//
// What the peer announces is bounded in number, bytes and pace. Lines and keys that are not known
// are those of later versions, and are passed over.

#include "discovery.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events.h"
#include "joint.h"
#include "json.h"
#include "link-session.h"
#include "proto/name.h"
#include "remotes.h"

#define LINE_MAX_BYTES   32768 // 4 KiB of which each byte is six in JSON, and the rest
#define LINES_BURST      4096
#define LINES_PER_SECOND 512
#define PAUSE_MS         100
#define SHOWN_MAX        40 // of the peer's name and version

struct MuxDiscovery {
    MuxLink *link;
    MuxWatch watch;     // our end of the pair
    GHashTable *offers; // names of services that the peer is to be told about
    GHashTable *told;   // …that it was told are there
    bool greeted;       // our first line was made, in this session
    bool crowded;       // the peer has told of more than is kept
    GByteArray *out;    // what is left of the line that is being written
    GByteArray *in;     // a line that has not ended yet
    MuxBucket pace;
    guint pause;            // GLib source: the peer is too fast
    char *daemon, *version; // the peer's
};

// --- lines that come

static bool is_service(const char *name)
{
    size_t service;
    return mux_name_valid(name, strlen(name), &service) && name[service] == '\0';
}

static char *shown(const char *untrusted_text)
{
    char *text = g_strndup(untrusted_text, SHOWN_MAX);

    for (char *c = text; *c; c++)
        if (!g_ascii_isgraph(*c))
            *c = '?';
    return text;
}

static void take_greeting(MuxDiscovery *discovery, const char *daemon, const char *version)
{
    if (discovery->daemon)
        return;
    discovery->daemon = shown(daemon);
    discovery->version = shown(version);
    if (strcmp(discovery->version, GUESTMUX_VERSION) != 0)
        mux_link_log(discovery->link, G_LOG_LEVEL_MESSAGE,
                     "the other end is %s %s; this is version " GUESTMUX_VERSION, discovery->daemon,
                     discovery->version);
    mux_event_link_up(discovery->link);
}

static void say_crowded(MuxDiscovery *discovery)
{
    if (!discovery->crowded)
        mux_link_log(discovery->link, G_LOG_LEVEL_WARNING,
                     "the other end has more services than are kept; some are not shown");
    discovery->crowded = true;
}

// An error is why the channel is not read any further.
static bool take_object(MuxDiscovery *discovery, json_object *untrusted, GError **error)
{
    const char *daemon = NULL, *version = "", *service = NULL, *gone = NULL;
    MuxFacts facts;

    if (!mux_json_string(untrusted, "daemon", &daemon, error) ||
        !mux_json_string(untrusted, "version", &version, error) ||
        !mux_json_string(untrusted, "service", &service, error) ||
        !mux_json_string(untrusted, "gone", &gone, error))
        return false;
    if (daemon)
        take_greeting(discovery, daemon, version);
    if (gone)
        mux_remotes_drop(discovery->link->remotes, gone);
    if (!service)
        return true;
    if (!is_service(service)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a service without a name");
        return false;
    }
    if (!mux_facts_read(untrusted, &facts, error))
        return false;
    if (!mux_remotes_put(discovery->link->remotes, service, &facts))
        say_crowded(discovery);
    return true;
}

// Without the channel, what was announced is not known to be so any more.
static void hang_up(MuxDiscovery *discovery)
{
    mux_remotes_drop(discovery->link->remotes, NULL);
    mux_watch_close(&discovery->watch);
    if (discovery->pause)
        g_source_remove(discovery->pause);
    discovery->pause = 0;
    g_byte_array_set_size(discovery->in, 0);
    g_byte_array_set_size(discovery->out, 0);
}

static gboolean on_pause_over(gpointer user);

static void make_pause(MuxDiscovery *discovery)
{
    mux_watch_want(&discovery->watch, discovery->watch.wanted & EPOLLOUT);
    discovery->pause = g_timeout_add(PAUSE_MS, on_pause_over, discovery);
}

// Takes the whole lines that there are, as fast as they may come. False when nothing is to be read
// now.
static bool take_lines(MuxDiscovery *discovery)
{
    GByteArray *in = discovery->in;
    const guint8 *end;

    while (in->len > 0 && (end = memchr(in->data, '\n', in->len))) {
        g_autoptr(GError) error = NULL;
        if (!mux_bucket_take(&discovery->pace, (uint64_t)g_get_monotonic_time())) {
            make_pause(discovery);
            return false;
        }
        guint size = (guint)(end - in->data);
        json_object *object = mux_json_parse((const char *)in->data, size, &error);
        if (object)
            (void)take_object(discovery, object, &error);
        json_object_put(object);
        if (error) {
            mux_link_log(discovery->link, G_LOG_LEVEL_WARNING,
                         "what the other end says of its services makes no sense: %s",
                         error->message);
            hang_up(discovery);
            return false;
        }
        g_byte_array_remove_range(in, 0, size + 1);
    }
    return true;
}

static void read_lines(MuxDiscovery *discovery)
{
    guint8 buffer[4096];

    ssize_t n = recv(discovery->watch.fd, buffer, sizeof(buffer), 0);
    if (n > 0) {
        g_byte_array_append(discovery->in, buffer, (guint)n);
        if (take_lines(discovery) && discovery->in->len >= LINE_MAX_BYTES) {
            mux_link_log(discovery->link, G_LOG_LEVEL_WARNING,
                         "what the other end says of its services has a line without an end");
            hang_up(discovery);
        }
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        mux_watch_drained(&discovery->watch, EPOLLIN);
    } else {
        hang_up(discovery);
    }
}

static gboolean on_pause_over(gpointer user)
{
    MuxDiscovery *discovery = user;

    discovery->pause = 0;
    mux_watch_want(&discovery->watch, discovery->watch.wanted | EPOLLIN | EPOLLHUP);
    (void)take_lines(discovery);
    return G_SOURCE_REMOVE;
}

// --- lines that go

static json_object *greeting(const MuxRelay *relay)
{
    json_object *line = json_object_new_object();

    json_object_object_add(line, "daemon", json_object_new_string(mux_relay_daemon(relay)));
    json_object_object_add(line, "version", json_object_new_string(GUESTMUX_VERSION));
    return line;
}

// What there is to say of a service now: to a VM that may not open it, it does not exist. NULL: the
// peer knows.
static json_object *offer(MuxDiscovery *discovery, const char *name)
{
    const MuxLink *link = discovery->link;
    const MuxService *service = mux_services_find(link->relay->services, name, strlen(name));

    if (service && mux_service_allows(service, link->name)) {
        g_hash_table_add(discovery->told, g_strdup(name));
        return mux_service_facts_json(service);
    }
    if (!g_hash_table_remove(discovery->told, name))
        return NULL;
    json_object *line = json_object_new_object();
    json_object_object_add(line, "gone", json_object_new_string(name));
    return line;
}

// NULL when there is nothing to say.
static json_object *next_line(MuxDiscovery *discovery)
{
    json_object *line = NULL;
    GHashTableIter iter;
    gpointer name;

    if (!discovery->greeted) {
        discovery->greeted = true;
        return greeting(discovery->link->relay);
    }
    g_hash_table_iter_init(&iter, discovery->offers);
    while (!line && g_hash_table_iter_next(&iter, &name, NULL)) {
        line = offer(discovery, name);
        g_hash_table_iter_remove(&iter);
    }
    return line;
}

// False when there is nothing to say.
static bool make_line(MuxDiscovery *discovery)
{
    json_object *line = next_line(discovery);

    if (!line)
        return false;
    const char *text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    g_byte_array_append(discovery->out, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(discovery->out, (const guint8 *)"\n", 1);
    json_object_put(line);
    return true;
}

static void write_lines(MuxDiscovery *discovery)
{
    GByteArray *out = discovery->out;

    while (out->len > 0 || make_line(discovery)) {
        ssize_t n = send(discovery->watch.fd, out->data, out->len, MSG_NOSIGNAL);
        if (n > 0) {
            g_byte_array_remove_range(out, 0, (guint)n);
            continue;
        }
        mux_watch_drained(&discovery->watch, EPOLLOUT);
        mux_watch_want(&discovery->watch, discovery->watch.wanted); // has the kernel asked
        return; // a failure shows as the end of what is read
    }
    mux_watch_want(&discovery->watch, discovery->watch.wanted & ~(uint32_t)EPOLLOUT);
}

static void on_socket(MuxWatch *watch)
{
    MuxDiscovery *discovery = mux_container(watch, MuxDiscovery, watch);

    if (watch->ready & watch->wanted & EPOLLOUT)
        write_lines(discovery);
    if (watch->ready & watch->wanted & (EPOLLIN | EPOLLHUP))
        read_lines(discovery);
}

void mux_discovery_offer(MuxDiscovery *discovery, const char *service, MuxChange change)
{
    if (discovery->watch.fd < 0)
        return;
    // Of services that come and go while the peer does not read, nothing is kept.
    if (change == MUX_REMOVED && !g_hash_table_contains(discovery->told, service)) {
        g_hash_table_remove(discovery->offers, service);
        return;
    }
    g_hash_table_add(discovery->offers, g_strdup(service));
    mux_watch_want(&discovery->watch, discovery->watch.wanted | EPOLLOUT);
}

// --- beginning and end

// Everything is to be told from the beginning. Returns the joint's end of the pair, or a negative
// errno.
static int begin(MuxDiscovery *discovery)
{
    MuxRelay *relay = discovery->link->relay;
    g_autoptr(GList) all = mux_services_sorted(relay->services);
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    int r = mux_watch_start(&discovery->watch, relay->loop, ends[0], EPOLLIN | EPOLLHUP | EPOLLOUT,
                            on_socket);
    if (r < 0) {
        close(ends[0]);
        close(ends[1]);
        return r;
    }
    discovery->greeted = discovery->crowded = false;
    g_hash_table_remove_all(discovery->offers);
    g_hash_table_remove_all(discovery->told);
    for (GList *item = all; item; item = item->next)
        if (mux_service_allows(item->data, discovery->link->name))
            g_hash_table_add(discovery->offers, g_strdup(((MuxService *)item->data)->name));
    // Wanted anew: a fresh watch is called only once it is asked for.
    mux_watch_want(&discovery->watch, EPOLLIN | EPOLLHUP | EPOLLOUT);
    return ends[1];
}

void mux_discovery_start(MuxDiscovery *discovery)
{
    if (discovery->link->relay->role != MUX_GUEST)
        return;
    int fd = begin(discovery);
    if (fd >= 0 && mux_joint_open_own(discovery->link, MUX_DISCOVERY_NAME, fd))
        return;
    mux_link_log(discovery->link, G_LOG_LEVEL_WARNING, "the services cannot be announced");
    hang_up(discovery);
}

void mux_discovery_take(MuxDiscovery *discovery, MuxChannel *channel)
{
    // The guest opens it, once a session.
    bool may =
        discovery->link->relay->role == MUX_HOST && discovery->watch.fd < 0 && !discovery->greeted;
    int fd = may ? begin(discovery) : -EBUSY;

    if (fd >= 0)
        mux_joint_take_own(discovery->link, channel, MUX_DISCOVERY_NAME, fd);
    else
        mux_channel_close(channel, MUX_CODE_LIMIT);
}

void mux_discovery_refused(MuxDiscovery *discovery)
{
    hang_up(discovery);
    mux_event_link_up(discovery->link);
}

void mux_discovery_end(MuxDiscovery *discovery)
{
    hang_up(discovery);
    discovery->greeted = false;
    g_clear_pointer(&discovery->daemon, g_free);
    g_clear_pointer(&discovery->version, g_free);
}

MuxDiscovery *mux_discovery_new(MuxLink *link)
{
    MuxDiscovery *discovery = g_new0(MuxDiscovery, 1);

    discovery->link = link;
    discovery->offers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    discovery->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    discovery->in = g_byte_array_new();
    discovery->out = g_byte_array_new();
    mux_watch_init(&discovery->watch);
    mux_bucket_init(&discovery->pace, LINES_BURST, LINES_PER_SECOND,
                    mux_loop_now(link->relay->loop));
    return discovery;
}

MuxDiscovery *mux_discovery_free(MuxDiscovery *discovery)
{
    if (!discovery)
        return NULL;
    mux_discovery_end(discovery);
    g_hash_table_unref(discovery->offers);
    g_hash_table_unref(discovery->told);
    g_byte_array_unref(discovery->in);
    g_byte_array_unref(discovery->out);
    g_free(discovery);
    return NULL;
}

// --- showing

json_object *mux_discovery_peer_json(const MuxDiscovery *discovery)
{
    if (!discovery->daemon)
        return NULL;
    json_object *object = json_object_new_object();
    json_object_object_add(object, "daemon", json_object_new_string(discovery->daemon));
    json_object_object_add(object, "version", json_object_new_string(discovery->version));
    return object;
}
