// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How a byte travels: the port has something -> read it into the session's buffer until EAGAIN ->
// each event goes to its joint, pieces for the same channel together -> the joint writes them to
// its socket. The other way: a socket has something -> its channel is ready, the pump is deferred
// -> at the end of the turn the session says whose turn it is, that socket is read straight into
// the batch -> the batch is written.
//
// The port is always read, whether or not it can be written: two ends that each wait to write
// before they read would wait for ever.

#include "link.h"

#include <string.h>

#include "discovery.h"
#include "events.h"
#include "joint.h"
#include "link-session.h"
#include "memory.h"
#include "probe.h"
#include "proto/limits.h"
#include "regions.h"
#include "remotes.h"
#include "sources.h"

// @services, @memory and @probe.
#define OWN_CHANNELS 3

#define PIECES          64
#define READS_A_TURN    4 // of up to MUX_INPUT_SIZE: then the other links have their turn
#define CONNECT_TIME_US (10 * G_USEC_PER_SEC)
#define OPEN_TIME_US    (30 * G_USEC_PER_SEC)

// Pieces for one joint, lent by the session's buffer.
typedef struct Gather {
    MuxJoint *joint;
    struct iovec pieces[PIECES];
    uint64_t slots[PIECES];
    size_t n;
} Gather;

static void flush(Gather *gather)
{
    if (gather->n > 0)
        mux_joint_data(gather->joint, gather->pieces, gather->slots, gather->n);
    gather->n = 0;
}

static void gather_data(Gather *gather, const MuxEvent *event)
{
    if (gather->joint != event->user || gather->n == PIECES)
        flush(gather);
    gather->joint = event->user;
    gather->slots[gather->n] = event->slot;
    gather->pieces[gather->n++] = (struct iovec){(void *)event->data, event->size};
}

// --- events

static void on_reset(MuxLink *link, const MuxEvent *event)
{
    const MuxJoint *joint = event->user;

    // The session's end, not the peer, resets it.
    if (!mux_session_is_up(link->session) && !(joint && joint->own))
        link->closed++;
    if (event->user)
        mux_joint_reset(event->user, event->code);
    else
        mux_channel_close(event->channel, MUX_CODE_CLOSED);
}

static void on_event(MuxLink *link, const MuxEvent *event)
{
    switch (event->type) {
    case MUX_EVENT_OPEN:
        mux_joint_take(link, event);
        break;
    case MUX_EVENT_ACCEPT:
        mux_joint_accepted(event->user);
        break;
    case MUX_EVENT_FIN:
        mux_joint_fin(event->user);
        break;
    case MUX_EVENT_STOP:
        mux_joint_stop(event->user);
        break;
    case MUX_EVENT_RESET:
        on_reset(link, event);
        break;
    case MUX_EVENT_UP:
        mux_link_session_up(link);
        mux_discovery_start(link->discovery);
        if (link->relay->memory && link->relay->memory->up)
            link->relay->memory->up(link);
        break;
    case MUX_EVENT_DOWN:
        mux_regions_end(link);
        mux_link_session_down(link, event);
        break;
    case MUX_EVENT_REJECT:
        link->complained = true;
        mux_link_log(link, G_LOG_LEVEL_WARNING, "no session: %s", event->detail);
        break;
    case MUX_EVENT_SILENT:
        mux_link_log(link, G_LOG_LEVEL_WARNING, "the other end is silent (paused?)");
        break;
    case MUX_EVENT_HEARD:
        mux_link_log(link, G_LOG_LEVEL_MESSAGE, "the other end is heard again");
        break;
    case MUX_EVENT_NOTICE:
        mux_buffers_notice(link, event);
        break;
    case MUX_EVENT_DATA: // gathered
    case MUX_EVENT_NONE:
        break;
    }
}

static void drain_events(MuxLink *link)
{
    Gather gather; // not all of it is set to zero for one message
    MuxEvent event;

    gather.joint = NULL;
    gather.n = 0;
    while (mux_session_next_event(link->session, &event)) {
        if (event.type == MUX_EVENT_DATA) {
            gather_data(&gather, &event);
            continue;
        }
        flush(&gather);
        on_event(link, &event);
    }
    flush(&gather);
}

// --- the port

// Reads until EAGAIN or until the buffer is full. False when the port had no more.
static bool fill_input(MuxLink *link)
{
    uint64_t now = mux_loop_now(link->relay->loop);
    uint8_t *base;
    size_t space, n;

    while ((space = mux_session_input(link->session, &base)) > 0) {
        n = mux_port_read(link->port, base, space);
        if (n == 0)
            return false;
        link->strange |= !mux_session_is_up(link->session);
        mux_session_input_done(link->session, n, now);
    }
    return true;
}

static void on_port_ready(void *user)
{
    MuxLink *link = user;
    bool more = true;

    for (int i = 0; i < READS_A_TURN && more; i++) {
        more = fill_input(link);
        drain_events(link);
    }
    mux_link_kick(link);
}

static void on_port_up(void *user)
{
    MuxLink *link = user;

    mux_link_log(link, G_LOG_LEVEL_INFO, "port %s connected", mux_port_spec(link->port));
    mux_link_start_session(link);
}

static void on_port_down(void *user, const char *why)
{
    MuxLink *link = user;
    bool was_up = mux_session_is_up(link->session);

    mux_session_stop(link->session);
    drain_events(link);
    if (was_up)
        mux_link_session_ended(link, "the port went down", why);
    else
        mux_link_log(link, G_LOG_LEVEL_INFO, "the port went down: %s", why);
}

void mux_link_restart(MuxLink *link, const char *why)
{
    if (!mux_session_is_up(link->session))
        return;
    mux_session_stop(link->session);
    drain_events(link);
    mux_link_session_ended(link, why, NULL);
    mux_link_start_session(link);
}

// --- sending and time

static void fill_batch(MuxLink *link)
{
    MuxTurn turn;
    bool more;

    while (mux_session_next_turn(link->session, &turn)) {
        size_t n = mux_joint_turn(turn.user, turn.base, turn.size, &more);
        mux_session_turn_done(link->session, &turn, n, more);
        mux_joint_turned(turn.user);
        mux_regions_check(link);
    }
}

// Writes what is in the batch. False when the port takes no more, or there was nothing.
static bool write_batch(MuxLink *link)
{
    const uint8_t *base;
    size_t size = mux_session_output(link->session, &base);
    size_t n = size ? mux_port_write(link->port, base, size) : 0;

    if (n > 0)
        mux_session_output_done(link->session, n);
    return n > 0;
}

static void set_timer(MuxLink *link)
{
    uint64_t deadline = mux_session_deadline(link->session);

    // The joints' times are looked at once a second.
    if (!mux_list_empty(&link->unsettled))
        deadline = MIN(deadline, mux_loop_now(link->relay->loop) + G_USEC_PER_SEC);
    // A timer that fires too early is set again then; that is cheaper than moving it with every
    // byte.
    if (deadline >= link->armed_us)
        return;
    link->armed_us = deadline;
    g_source_set_ready_time(link->timer, (gint64)deadline);
}

static void on_pump(MuxJob *job)
{
    MuxLink *link = mux_container(job, MuxLink, pump);

    mux_session_tick(link->session, mux_loop_now(link->relay->loop));
    do
        fill_batch(link);
    while (write_batch(link));
    drain_events(link);
    set_timer(link);
}

static void expire_joints(MuxLink *link)
{
    uint64_t now = (uint64_t)g_get_monotonic_time(); // no turn of the loop has begun

    for (MuxList *node = link->unsettled.next, *next; node != &link->unsettled; node = next) {
        MuxJoint *joint = mux_container(node, MuxJoint, node);
        uint64_t time = joint->state == MUX_JOINT_CONNECTING ? CONNECT_TIME_US : OPEN_TIME_US;
        next = node->next;
        if (now - joint->since_us >= time)
            mux_joint_expire(joint);
    }
}

static gboolean on_timer(GSource *source, GSourceFunc callback, gpointer user)
{
    MuxLink *link = user;

    (void)callback;
    g_source_set_ready_time(source, -1);
    link->armed_us = UINT64_MAX;
    expire_joints(link);
    mux_link_suspect_stranger(link);
    mux_link_kick(link);
    return G_SOURCE_CONTINUE;
}

unsigned mux_link_channels(const MuxLink *link)
{
    MuxSessionInfo info;

    mux_session_info(link->session, &info);
    return info.channels - MIN(info.channels, link->own);
}

void mux_link_kick(MuxLink *link)
{
    mux_loop_defer(link->relay->loop, &link->pump);
}

// --- life

MuxLink *mux_link_new(MuxRelay *relay, const char *name, const char *spec, GError **error)
{
    static const MuxPortEvents port_events = {on_port_up, on_port_down, on_port_ready};
    static GSourceFuncs timer_functions = {.dispatch = on_timer};
    MuxLink *link = g_new0(MuxLink, 1);

    link->relay = relay;
    link->name = g_strdup(name);
    link->armed_us = UINT64_MAX;
    mux_link_log_init(link);
    mux_list_init(&link->joints);
    mux_list_init(&link->unsettled);
    link->users = mux_users_new();
    link->remotes = mux_remotes_new(link);
    link->regions = mux_regions_new(link);
    link->discovery = mux_discovery_new(link);
    link->buffers = mux_buffers_new(link);
    mux_job_init(&link->pump, on_pump);
    link->timer = g_source_new(&timer_functions, sizeof(GSource));
    g_source_set_callback(link->timer, NULL, link, NULL);
    mux_source_attach(link->timer);
    MuxLimits limits = relay->limits;
    // The daemon's own channels come on top of those that are configured.
    limits.channels = (limits.channels ? limits.channels : MUX_CHANNELS_DEFAULT) + OWN_CHANNELS;
    limits.own = OWN_CHANNELS;
    limits.seed = mux_link_random();
    if (mux_session_new(relay->role, &limits, &link->session) < 0)
        g_error("out of memory");
    g_autofree char *what = g_strdup_printf("link %s: port", name);
    link->port = mux_port_new(relay->loop, what, spec, &port_events, link, error);
    return link->port ? link : mux_link_free(link);
}

void mux_link_destroy(gpointer link)
{
    mux_link_free(link);
}

// Channels that have ended both ways, and whose last bytes nobody has read yet, outlive a session;
// not the link.
static void free_joints(MuxList *list)
{
    MuxList *node;

    while ((node = mux_list_first(list)))
        mux_joint_free(mux_container(node, MuxJoint, node), MUX_CODE_LINK_DOWN);
}

MuxLink *mux_link_free(MuxLink *link)
{
    if (!link)
        return NULL;
    const MuxRelay *relay = link->relay;
    link->port = mux_port_free(link->port);
    mux_session_stop(link->session);
    drain_events(link);
    free_joints(&link->joints);
    free_joints(&link->unsettled);
    mux_buffers_end(link->buffers);
    if (relay->memory && relay->memory->free)
        relay->memory->free(link);
    mux_buffers_free(link->buffers);
    mux_discovery_free(link->discovery);
    mux_remotes_free(link->remotes);
    mux_sink_free(link->sink);
    mux_regions_free(link->regions);
    g_hash_table_unref(link->users);
    mux_job_cancel(&link->pump);
    mux_session_free(link->session);
    g_source_destroy(link->timer);
    g_source_unref(link->timer);
    g_free(link->end.why);
    g_free(link->name);
    g_free(link);
    return NULL;
}
