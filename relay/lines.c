// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The channel's local end is a socket pair: one socket belongs to a joint like any other, the other
// one is ours. So lines have credit, order and turns as all data has, and a peer that does not read
// them costs no more than one line: the next is made when there is room for it.
//
// Joint and lines know each other while both are there, so that a refusal comes to whom it is for.

#include "lines.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "joint.h"
#include "json.h"
#include "sources.h"

#define LINE_MAX_BYTES   32768 // 4 KiB of which each byte is six in JSON, and the rest
#define LINES_BURST      4096
#define LINES_PER_SECOND 512
#define PAUSE_MS         100

struct MuxLines {
    MuxLink *link;
    const char *name;
    const MuxLinesEvents *events;
    void *user;
    MuxWatch watch;  // our end of the pair
    MuxJoint *joint; // that has the other; NULL when it is gone
    bool taken;      // in this session
    GByteArray *out; // what is left of the line that is being written
    GByteArray *in;  // a line that has not ended yet
    MuxBucket pace;
    guint pause; // GLib source: the peer is too fast
};

static void hang_up(MuxLines *lines)
{
    if (lines->joint)
        lines->joint->lines = NULL;
    lines->joint = NULL;
    mux_watch_close(&lines->watch);
    if (lines->pause)
        g_source_remove(lines->pause);
    lines->pause = 0;
    g_byte_array_set_size(lines->in, 0);
    g_byte_array_set_size(lines->out, 0);
}

static void end(MuxLines *lines, bool refused)
{
    hang_up(lines);
    lines->events->ended(lines->user, refused);
}

// --- lines that come

static gboolean on_pause_over(gpointer user);

static void make_pause(MuxLines *lines)
{
    mux_watch_want(&lines->watch, lines->watch.wanted & EPOLLOUT);
    lines->pause = mux_source_timeout(PAUSE_MS, on_pause_over, lines);
}

// False when the channel has ended.
static bool take_line(MuxLines *lines, const guint8 *text, guint size)
{
    g_autoptr(GError) error = NULL;
    json_object *object = mux_json_parse((const char *)text, size, &error);

    if (object)
        (void)lines->events->take(lines->user, object, &error);
    json_object_put(object);
    if (!error)
        return mux_lines_are_open(lines);
    mux_link_log(lines->link, G_LOG_LEVEL_WARNING,
                 "what the other end says on %s makes no sense: %s", lines->name, error->message);
    if (mux_lines_are_open(lines))
        end(lines, false);
    return false;
}

// Takes the whole lines that there are, as fast as they may come. False when nothing is to be read
// now.
static bool take_lines(MuxLines *lines)
{
    GByteArray *in = lines->in;
    const guint8 *newline;

    while (in->len > 0 && (newline = memchr(in->data, '\n', in->len))) {
        if (!mux_bucket_take(&lines->pace, (uint64_t)g_get_monotonic_time())) {
            make_pause(lines);
            return false;
        }
        guint size = (guint)(newline - in->data);
        if (!take_line(lines, in->data, size))
            return false;
        g_byte_array_remove_range(in, 0, size + 1);
    }
    return true;
}

static void read_lines(MuxLines *lines)
{
    guint8 buffer[4096];

    ssize_t n = recv(lines->watch.fd, buffer, sizeof(buffer), 0);
    if (n > 0) {
        g_byte_array_append(lines->in, buffer, (guint)n);
        if (take_lines(lines) && lines->in->len >= LINE_MAX_BYTES) {
            mux_link_log(lines->link, G_LOG_LEVEL_WARNING,
                         "what the other end says on %s has a line without an end", lines->name);
            end(lines, false);
        }
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        mux_watch_drained(&lines->watch, EPOLLIN);
    } else {
        end(lines, false);
    }
}

static gboolean on_pause_over(gpointer user)
{
    MuxLines *lines = user;

    lines->pause = 0;
    mux_watch_want(&lines->watch, lines->watch.wanted | EPOLLIN | EPOLLHUP);
    (void)take_lines(lines);
    return G_SOURCE_REMOVE;
}

// --- lines that go

// False when there is nothing to say.
static bool make_line(MuxLines *lines)
{
    json_object *line = lines->events->next(lines->user);

    if (!line)
        return false;
    const char *text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    g_byte_array_append(lines->out, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(lines->out, (const guint8 *)"\n", 1);
    json_object_put(line);
    return true;
}

static void write_lines(MuxLines *lines)
{
    GByteArray *out = lines->out;

    while (out->len > 0 || make_line(lines)) {
        ssize_t n = send(lines->watch.fd, out->data, out->len, MSG_NOSIGNAL);
        if (n > 0) {
            g_byte_array_remove_range(out, 0, (guint)n);
            continue;
        }
        mux_watch_drained(&lines->watch, EPOLLOUT);
        mux_watch_want(&lines->watch, lines->watch.wanted); // has the kernel asked
        return; // a failure shows as the end of what is read
    }
    mux_watch_want(&lines->watch, lines->watch.wanted & ~(uint32_t)EPOLLOUT);
}

static void on_socket(MuxWatch *watch)
{
    MuxLines *lines = mux_container(watch, MuxLines, watch);

    if (watch->ready & watch->wanted & EPOLLOUT)
        write_lines(lines);
    if (watch->ready & watch->wanted & (EPOLLIN | EPOLLHUP))
        read_lines(lines);
}

void mux_lines_kick(MuxLines *lines)
{
    if (mux_lines_are_open(lines))
        mux_watch_want(&lines->watch, lines->watch.wanted | EPOLLOUT);
}

// --- beginning and end

// Returns the joint's end of the pair, or a negative errno.
static int begin(MuxLines *lines)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    int r = mux_watch_start(&lines->watch, lines->link->relay->loop, ends[0],
                            EPOLLIN | EPOLLHUP | EPOLLOUT, on_socket);
    if (r < 0) {
        close(ends[0]);
        close(ends[1]);
        return r;
    }
    // Wanted anew: a fresh watch is called only once it is asked for.
    mux_watch_want(&lines->watch, EPOLLIN | EPOLLHUP | EPOLLOUT);
    return ends[1];
}

bool mux_lines_open(MuxLines *lines)
{
    int fd = mux_lines_are_open(lines) ? -EBUSY : begin(lines);

    if (fd < 0)
        return false;
    lines->joint = mux_joint_open_own(lines->link, lines->name, fd, lines);
    if (lines->joint)
        return true;
    hang_up(lines);
    return false;
}

bool mux_lines_take(MuxLines *lines, MuxChannel *channel)
{
    int fd = mux_lines_are_open(lines) || lines->taken ? -EBUSY : begin(lines);

    if (fd < 0)
        return false;
    lines->taken = true;
    lines->joint = mux_joint_take_own(lines->link, channel, lines->name, fd, lines);
    return true;
}

void mux_lines_refused(MuxLines *lines)
{
    end(lines, true);
}

void mux_lines_left(MuxLines *lines)
{
    lines->joint = NULL;
}

void mux_lines_end(MuxLines *lines)
{
    hang_up(lines);
    lines->taken = false;
}

bool mux_lines_are_open(const MuxLines *lines)
{
    return lines->watch.fd >= 0;
}

MuxLines *mux_lines_new(MuxLink *link, const char *name, const MuxLinesEvents *events, void *user)
{
    MuxLines *lines = g_new0(MuxLines, 1);

    lines->link = link;
    lines->name = name;
    lines->events = events;
    lines->user = user;
    lines->in = g_byte_array_new();
    lines->out = g_byte_array_new();
    mux_watch_init(&lines->watch);
    mux_bucket_init(&lines->pace, LINES_BURST, LINES_PER_SECOND, mux_loop_now(link->relay->loop));
    return lines;
}

MuxLines *mux_lines_free(MuxLines *lines)
{
    if (!lines)
        return NULL;
    hang_up(lines);
    g_byte_array_unref(lines->in);
    g_byte_array_unref(lines->out);
    g_free(lines);
    return NULL;
}
