// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The other side opened a channel: find its service, connect to the handler or start it, and
// accept; or refuse, with the code that says why. A channel is accepted only when its handler is
// there.

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "control.h"
#include "discovery.h"
#include "events.h"
#include "joint.h"
#include "memory.h"
#include "preamble.h"
#include "probe.h"
#include "proto/limits.h"
#include "sources.h"

#define WAITING_MAX 64 // channels for a program that registered, and does not read

#define NO_DESCRIPTORS "no file descriptors left (see LimitNOFILE, ulimit -n)"

static void refuse(MuxJoint *joint, MuxCode code, const char *why)
{
    mux_link_log(joint->link, G_LOG_LEVEL_INFO, "channel to '%s' refused: %s", joint->name, why);
    mux_event_channel_refused(joint->link, joint->name, "in", &joint->caller, code);
    joint->link->refused++;
    mux_joint_free(joint, code);
}

static void accept_channel(MuxJoint *joint)
{
    int r = mux_preamble_send(joint);

    // A handler that wrote and has gone already did take it.
    if (r < 0 && r != -EPIPE) {
        refuse(joint, MUX_CODE_REFUSED, g_strerror(-r));
        return;
    }
    joint->use->connecting--;
    joint->link->opened++;
    mux_channel_accept(joint->channel, joint);
    mux_joint_settle(joint);
}

// The handler's connection is there, or failed.
static void on_connected(MuxWatch *watch)
{
    MuxJoint *joint = mux_container(watch, MuxJoint, watch);
    MuxLink *link = joint->link; // the joint may end
    int r = mux_address_connected(watch->fd);

    if (r < 0) {
        refuse(joint, MUX_CODE_REFUSED, g_strerror(-r));
        return;
    }
    accept_channel(joint);
    mux_link_kick(link);
}

static bool may_keep(const MuxLink *link, int fd)
{
    return fd < link->relay->most_fd && mux_relay_has_room(link->relay, link->sockets);
}

static void adopt(MuxJoint *joint, int fd, bool connecting)
{
    if (!may_keep(joint->link, fd)) {
        close(fd);
        refuse(joint, MUX_CODE_LIMIT, NO_DESCRIPTORS);
        return;
    }
    // What a fresh socket is ready for is reported at once, so nothing is missed meanwhile.
    int r = mux_watch_start(&joint->watch, joint->link->relay->loop, fd,
                            connecting ? EPOLLOUT | EPOLLHUP : 0, on_connected);
    if (r < 0) {
        close(fd);
        refuse(joint, MUX_CODE_REFUSED, g_strerror(-r));
    } else if (!connecting) {
        accept_channel(joint);
    }
}

// What is short here is no fault of the handler's.
static MuxCode failure_code(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS ? MUX_CODE_LIMIT
                                                                         : MUX_CODE_REFUSED;
}

static const char *failure_text(const MuxService *service, int r)
{
    if (r == -EMFILE)
        return NO_DESCRIPTORS;
    return service->kind == MUX_SERVICE_EXEC ? "its program could not be started" : g_strerror(-r);
}

static json_object *channel_event(const MuxJoint *joint)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string("channel"));
    mux_preamble_add(event, joint);
    return event;
}

static int hand_over(MuxJoint *joint, int fd)
{
    int r = mux_control_hand(joint->service->registrant, channel_event(joint), fd);

    return r == MUX_CONTROL_BUSY ? MUX_CONNECT_BUSY : r;
}

static int start_program(MuxJoint *joint, int fd)
{
    MuxServices *services = joint->link->relay->services;
    g_auto(GStrv) environment = mux_preamble_environment(joint);

    return mux_service_spawn(services, joint->service, joint->use, (const char *const *)environment,
                             fd, &joint->child);
}

// As mux_address_connect(), where the handler is given one end of a socket pair. What would be
// refused afterwards is not even begun.
static int give_end(MuxJoint *joint, int (*give)(MuxJoint *joint, int fd), int *ret_fd)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    mux_address_refuse_descriptors(ends[0]);
    // The handler's end blocks, as programs expect; ours does not.
    (void)g_unix_set_fd_nonblocking(ends[0], TRUE, NULL);
    int r = may_keep(joint->link, ends[0]) ? give(joint, ends[1]) : -EMFILE;
    close(ends[1]);
    if (r == 0)
        *ret_fd = ends[0];
    else
        close(ends[0]);
    return r;
}

// Starting a program stops everything else here until its exec(), which is much more than anything
// else that the other side can ask for. So it is done one at a time, and for no more than half of
// the time. One whose channel has ended may take a moment to end itself, and is a process until
// then.
static int start_in_turn(MuxJoint *joint, int *ret_fd, uint64_t *due_us)
{
    MuxWaiting *waiting = joint->link->relay->waiting;
    uint64_t begin = (uint64_t)g_get_monotonic_time();

    if (joint->use->children >= joint->service->max_channels)
        return MUX_CONNECT_BUSY;
    if (begin < waiting->start_us) {
        *due_us = waiting->start_us;
        return MUX_CONNECT_BUSY;
    }
    int r = give_end(joint, start_program, ret_fd);
    uint64_t end = (uint64_t)g_get_monotonic_time();
    waiting->start_us = end + MIN(end - begin, G_USEC_PER_SEC);
    return r;
}

// As mux_address_connect(). *due_us: when it makes sense to try again, if that is known.
static int reach_handler(MuxJoint *joint, int *ret_fd, uint64_t *due_us)
{
    const MuxService *service = joint->service;

    switch (service->kind) {
    case MUX_SERVICE_EXEC:
        return start_in_turn(joint, ret_fd, due_us);
    case MUX_SERVICE_ACCEPT:
        if (!service->registrant)
            return -ECONNREFUSED;
        return mux_control_takes(service->registrant) ? give_end(joint, hand_over, ret_fd)
                                                      : MUX_CONNECT_BUSY;
    case MUX_SERVICE_CONNECT:
        break;
    }
    return mux_address_connect(&service->address, ret_fd);
}

bool mux_joint_reach(MuxJoint *joint, uint64_t *ret_due_us)
{
    const MuxService *service = joint->service;
    int fd = -1;

    *ret_due_us = 0;
    int r = reach_handler(joint, &fd, ret_due_us);
    if (r == MUX_CONNECT_BUSY)
        return false;
    joint->tcp = service->kind == MUX_SERVICE_CONNECT && service->address.tcp;
    mux_waiting_leave(joint);
    if (r < 0)
        refuse(joint, failure_code(r), failure_text(service, r));
    else
        adopt(joint, fd, r == MUX_CONNECTING);
    return true;
}

// Whoever comes behind others waits, too: one who needs a program behind all lines, since all who
// need one have it in turn, and others behind their own.
static void reach(MuxJoint *joint)
{
    MuxWaiting *waiting = joint->link->relay->waiting;
    bool exec = joint->service->kind == MUX_SERVICE_EXEC;
    uint64_t due_us = 0;

    if (!mux_list_empty(exec ? &waiting->lines : &joint->use->waiting) ||
        !mux_joint_reach(joint, &due_us))
        mux_waiting_add(joint, due_us);
}

// Whether the VM may open one more this second.
static bool keeps_pace(const MuxService *service, MuxUse *use, uint64_t now_us)
{
    if (service->max_opens == 0)
        return true;
    if (use->opens.burst != service->max_opens) // the first, or a reload changed it
        mux_bucket_init(&use->opens, service->max_opens, service->max_opens, now_us);
    return mux_bucket_take(&use->opens, now_us);
}

// Why the service cannot take another channel now, or NULL.
static const char *too_much(const MuxService *service, MuxUse *use, uint64_t now_us)
{
    bool accept = service->kind == MUX_SERVICE_ACCEPT;

    if (use->channels >= service->max_channels)
        return "the service's \"max_channels\" are open";
    // A handler that hangs must not take all the opens that may be waiting for an answer.
    if (use->connecting >= (accept ? WAITING_MAX : MUX_PENDING_DEFAULT / 2))
        return "its handler does not take those that wait already";
    if (!keeps_pace(service, use, now_us))
        return "more than the service's \"max_opens_per_second\"";
    return NULL;
}

// Finds the service that it is for, and counts it there. False when it was refused.
static bool enter_service(MuxJoint *joint)
{
    MuxLink *link = joint->link;
    const char *name = joint->name;
    MuxService *service = mux_services_find(link->relay->services, name, strcspn(name, ":"));

    if (!service) {
        refuse(joint, MUX_CODE_NO_SERVICE, "no such service");
        return false;
    }
    if (!mux_service_allows(service, link->name)) {
        refuse(joint, MUX_CODE_DENIED, "the service's \"vms\" do not have this VM");
        return false;
    }
    MuxUse *use = mux_service_use(service, link->name);
    const char *full = too_much(service, use, mux_loop_now(link->relay->loop));
    if (full) {
        refuse(joint, MUX_CODE_LIMIT, full);
        return false;
    }
    joint->service = mux_service_ref(service);
    joint->use = use;
    use->channels++;
    use->connecting++;
    return true;
}

static bool is(const MuxEvent *event, const char *name)
{
    return event->size == strlen(name) && memcmp(event->data, name, event->size) == 0;
}

// A channel that the daemons have with each other.
static void take_own(MuxLink *link, const MuxEvent *event)
{
    const MuxMemoryKind *memory = link->relay->memory;

    if (is(event, MUX_DISCOVERY_NAME))
        mux_discovery_take(link->discovery, event->channel);
    else if (is(event, MUX_PROBE_NAME) ? !mux_probe_take(link, event->channel)
                                       : !is(event, MUX_MEMORY_NAME) || !memory || !memory->take ||
                                             !memory->take(link, event->channel))
        mux_channel_close(event->channel, MUX_CODE_NO_SERVICE);
}

void mux_joint_take(MuxLink *link, const MuxEvent *event)
{
    const char *name = (const char *)event->data;

    if (mux_name_own(name, event->size)) {
        take_own(link, event);
        return;
    }
    MuxJoint *joint = mux_joint_new(link, MUX_JOINT_CONNECTING, name, event->size);
    joint->channel = event->channel;
    joint->caller = *event->caller;
    mux_channel_set_user(joint->channel, joint);
    if (enter_service(joint))
        reach(joint);
}
