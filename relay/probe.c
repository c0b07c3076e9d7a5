// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is measured is the way that apps' bytes take: a channel like any other, whose ends here and
// there are the daemons themselves (by socket pairs). The measuring end says how many bytes follow,
// sends them, and waits for one byte that says that they are there. It does so for each path and
// several sizes, in turns, so that what disturbs one disturbs all; the best time counts.
//
// Shared memory is used from the least size on from which it, and every larger one, is faster. That
// takes some 50 ms. Without such a size, or with a peer that does not take part, the region is not
// used, and regions.c asks again later.

#include "probe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "joint.h"
#include "proto/bytes.h"
#include "regions.h"
#include "sources.h"

#define RUN_BYTES 524288
// And one to warm up: windows grow. On a busy machine few rounds are undisturbed, so there are more
// where it is not clear which way is faster; on one that is so slow that the time is over before,
// some will do.
#define ROUNDS       20
#define ROUNDS_CLEAR 6
#define ROUNDS_DO    3
#define TIME_MS      2000
// Faster by less than this is chance.
#define CLEARLY(us) ((us) / 100 * 95)

typedef struct Way {
    MuxPath path;
    uint32_t most; // bytes in one go
    uint64_t best_us;
} Way;

enum { INLINE_4, INLINE_16, INLINE_32, SHARED_4, SHARED_16, SHARED_64, SHARED_256, WAYS };

// What bytes of that size would have to compete with.
static const struct {
    uint32_t bytes;
    int shared, beside;
} contests[] = {{4096, SHARED_4, INLINE_4},
                {16384, SHARED_16, INLINE_16},
                {65536, SHARED_64, INLINE_32},
                {262144, SHARED_256, INLINE_32}};

struct MuxProbe {
    MuxLink *link;
    MuxWatch watch;
    MuxJoint *joint; // that has the other end of the pair; NULL when it is gone
    Way ways[WAYS];
    unsigned run;  // so many are done
    uint64_t left; // bytes of this one that are to be sent
    uint64_t since_us;
    guint timer;
};

// --- the end that measures

// Whether what was sent in pieces of that size was faster.
static bool wins(const MuxProbe *probe, size_t contest)
{
    const Way *shared = &probe->ways[contests[contest].shared];
    const Way *beside = &probe->ways[contests[contest].beside];

    g_debug("link %s: %u bytes at once: %" G_GUINT64_FORMAT
            " us in shared memory, %" G_GUINT64_FORMAT " us over the port",
            probe->link->name, contests[contest].bytes, shared->best_us, beside->best_us);
    return shared->best_us < CLEARLY(beside->best_us);
}

static void decide(MuxProbe *probe)
{
    size_t first = G_N_ELEMENTS(contests);

    while (first > 0 && wins(probe, first - 1))
        first--;
    mux_watch_close(&probe->watch);
    if (first < G_N_ELEMENTS(contests))
        mux_regions_measured(probe->link, contests[first].bytes, NULL);
    else
        mux_regions_measured(probe->link, MUX_NEVER,
                             "it was measured to be no faster than the port");
}

static void give_up(MuxProbe *probe, const char *why)
{
    mux_watch_close(&probe->watch);
    mux_regions_measured(probe->link, MUX_NEVER, why);
}

// One way takes less than three quarters of the other's time, in every contest.
static bool all_clear(const MuxProbe *probe)
{
    for (size_t i = 0; i < G_N_ELEMENTS(contests); i++) {
        uint64_t shared = probe->ways[contests[i].shared].best_us;
        uint64_t beside = probe->ways[contests[i].beside].best_us;
        if (MIN(shared, beside) > MAX(shared, beside) / 4 * 3)
            return false;
    }
    return true;
}

static bool is_enough(const MuxProbe *probe)
{
    unsigned rounds = probe->run / WAYS; // with the one that warms up

    if (probe->run % WAYS != 0)
        return false;
    return rounds > ROUNDS || (rounds > ROUNDS_CLEAR && all_clear(probe));
}

static void send_some(MuxProbe *probe)
{
    static const unsigned char zeros[65536];

    while (probe->left > 0) {
        size_t size = MIN(probe->left, sizeof(zeros));
        ssize_t n = send(probe->watch.fd, zeros, size, MSG_NOSIGNAL);
        if (n <= 0) {
            mux_watch_drained(&probe->watch, EPOLLOUT);
            break; // a failure shows as the end of what is read
        }
        probe->left -= (size_t)n;
    }
    mux_watch_want(&probe->watch, EPOLLIN | EPOLLHUP | (probe->left > 0 ? EPOLLOUT : 0));
}

static void start_run(MuxProbe *probe)
{
    const Way *way = &probe->ways[probe->run % WAYS];
    unsigned char count[8];

    mux_channel_set_path(probe->joint->channel, way->path, way->most);
    probe->since_us = (uint64_t)g_get_monotonic_time();
    probe->left = RUN_BYTES;
    mux_put64(count, RUN_BYTES);
    (void)send(probe->watch.fd, count, sizeof(count), MSG_NOSIGNAL);
    send_some(probe);
}

static void end_run(MuxProbe *probe)
{
    Way *way = &probe->ways[probe->run % WAYS];
    uint64_t us = (uint64_t)g_get_monotonic_time() - probe->since_us;

    if (probe->run >= WAYS)
        way->best_us = MIN(way->best_us, us);
    probe->run++;
    if (is_enough(probe))
        decide(probe);
    else
        start_run(probe);
}

static void on_answer(MuxWatch *watch)
{
    MuxProbe *probe = mux_container(watch, MuxProbe, watch);
    unsigned char byte;

    if (watch->ready & watch->wanted & EPOLLOUT)
        send_some(probe);
    if (!(watch->ready & (EPOLLIN | EPOLLHUP)))
        return;
    ssize_t n = recv(watch->fd, &byte, 1, 0);
    if (n == 1 && probe->joint && probe->left == 0)
        end_run(probe);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        mux_watch_drained(watch, EPOLLIN);
    else
        give_up(probe, "the other end did not let it be measured");
}

static gboolean on_time(gpointer user)
{
    MuxProbe *probe = user;

    probe->timer = 0;
    if (probe->watch.fd < 0)
        return G_SOURCE_REMOVE;
    if (probe->run < WAYS * (ROUNDS_DO + 1))
        give_up(probe, "measuring it took too long");
    else
        decide(probe);
    return G_SOURCE_REMOVE;
}

// A pair, of which one end is watched. Returns the other, or a negative errno.
static int begin(MuxWatch *watch, MuxLoop *loop, void (*fn)(MuxWatch *watch))
{
    int ends[2];

    mux_watch_init(watch);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    int r = mux_watch_start(watch, loop, ends[0], EPOLLIN | EPOLLHUP, fn);
    if (r == 0)
        return ends[1];
    close(ends[0]);
    close(ends[1]);
    return r;
}

MuxProbe *mux_probe_new(MuxLink *link)
{
    static const Way ways[WAYS] = {
        [INLINE_4] = {MUX_PATH_INLINE, 4096, UINT64_MAX},
        [INLINE_16] = {MUX_PATH_INLINE, 16384, UINT64_MAX},
        [INLINE_32] = {MUX_PATH_INLINE, 0, UINT64_MAX},
        [SHARED_4] = {MUX_PATH_SHARED, 4096, UINT64_MAX},
        [SHARED_16] = {MUX_PATH_SHARED, 16384, UINT64_MAX},
        [SHARED_64] = {MUX_PATH_SHARED, 65536, UINT64_MAX},
        [SHARED_256] = {MUX_PATH_SHARED, 0, UINT64_MAX},
    };
    MuxProbe *probe = g_new0(MuxProbe, 1);

    probe->link = link;
    memcpy(probe->ways, ways, sizeof(ways));
    int fd = begin(&probe->watch, link->relay->loop, on_answer);
    if (fd >= 0)
        probe->joint = mux_joint_open_own(link, MUX_PROBE_NAME, fd, NULL);
    if (!probe->joint) {
        give_up(probe, "there is no channel to measure it with");
        return probe;
    }
    probe->joint->known = &probe->joint;
    probe->timer = mux_source_timeout(TIME_MS, on_time, probe);
    start_run(probe);
    return probe;
}

MuxProbe *mux_probe_free(MuxProbe *probe)
{
    if (!probe)
        return NULL;
    if (probe->joint)
        probe->joint->known = NULL;
    if (probe->timer)
        g_source_remove(probe->timer);
    mux_watch_close(&probe->watch);
    g_free(probe);
    return NULL;
}

// --- the other end

struct MuxSink {
    MuxWatch watch;
    MuxLink *link;
    unsigned char count[8];
    size_t counted; // bytes of the count
    uint64_t left;
};

MuxSink *mux_sink_free(MuxSink *sink)
{
    if (!sink)
        return NULL;
    mux_watch_close(&sink->watch);
    g_free(sink);
    return NULL;
}

// Counts, and says so when all are there.
static void swallow(MuxSink *sink, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        size_t take = MIN(n, sizeof(sink->count) - sink->counted);
        memcpy(sink->count + sink->counted, bytes, take);
        sink->counted += take;
        bytes += take;
        n -= take;
        if (take > 0 && sink->counted == sizeof(sink->count))
            sink->left = mux_get64(sink->count);
        take = (size_t)MIN(n, sink->left);
        sink->left -= take;
        bytes += take;
        n -= take;
        if (sink->counted < sizeof(sink->count) || sink->left > 0)
            return;
        sink->counted = 0;
        (void)send(sink->watch.fd, "", 1, MSG_NOSIGNAL);
    }
}

static void end_sink(MuxSink *sink)
{
    MuxLink *link = sink->link;

    link->sink = mux_sink_free(sink);
    mux_regions_measuring(link, MUX_REGION_IN, false);
}

static void on_bytes(MuxWatch *watch)
{
    MuxSink *sink = mux_container(watch, MuxSink, watch);
    unsigned char buffer[65536];

    ssize_t n = recv(watch->fd, buffer, sizeof(buffer), 0);
    if (n > 0)
        swallow(sink, buffer, (size_t)n);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        mux_watch_drained(watch, EPOLLIN);
    else
        end_sink(sink);
}

bool mux_probe_take(MuxLink *link, MuxChannel *channel)
{
    if (link->sink)
        return false;
    MuxSink *sink = g_new0(MuxSink, 1);
    int fd = begin(&sink->watch, link->relay->loop, on_bytes);
    if (fd < 0) {
        g_free(sink);
        return false;
    }
    sink->link = link;
    link->sink = sink;
    mux_regions_measuring(link, MUX_REGION_IN, true);
    (void)mux_joint_take_own(link, channel, MUX_PROBE_NAME, fd, NULL);
    return true;
}
