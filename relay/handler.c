// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The other side opened a channel: find its service, connect to the handler or start it, and
// accept; or refuse, with the code that says why. A channel is accepted only when its handler is
// there.

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "joint.h"
#include "proto/limits.h"

#define BUSY_RETRY_MS 20

static void try_connect(MuxJoint *joint);

static void refuse(MuxJoint *joint, MuxCode code, const char *why)
{
    mux_link_log(joint->link, G_LOG_LEVEL_INFO, "channel to '%s' refused: %s", joint->name, why);
    joint->link->refused++;
    mux_joint_free(joint, code);
}

static void accept_channel(MuxJoint *joint)
{
    joint->use->connecting--;
    joint->link->opened++;
    mux_channel_accept(joint->channel, joint);
    mux_joint_settle(joint);
}

static gboolean on_retry(gpointer user)
{
    MuxJoint *joint = user;

    joint->retry = 0;
    try_connect(joint);
    mux_link_kick(joint->link);
    return G_SOURCE_REMOVE;
}

// The handler's connection is there, or failed.
static void on_connected(MuxWatch *watch)
{
    MuxJoint *joint = mux_container(watch, MuxJoint, watch);
    int r = mux_address_connected(watch->fd);

    if (r < 0) {
        refuse(joint, MUX_CODE_REFUSED, g_strerror(-r));
        return;
    }
    accept_channel(joint);
    mux_link_kick(joint->link);
}

static void adopt(MuxJoint *joint, int fd, bool connecting)
{
    if (fd >= joint->link->relay->most_fd) {
        close(fd);
        refuse(joint, MUX_CODE_LIMIT, "no file descriptors left (see LimitNOFILE, ulimit -n)");
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

// As mux_address_connect(). Starting a program costs more than anything else that the other side
// can ask for, so that has its pace, and who comes faster waits.
static int reach_handler(MuxJoint *joint, int *ret_fd)
{
    MuxLink *link = joint->link;
    MuxService *service = joint->service;

    if (!service->argv)
        return mux_address_connect(&service->address, ret_fd);
    // One whose channel has ended may take a moment to end itself, and is a process until then.
    if (joint->use->children >= service->max_channels)
        return MUX_CONNECT_BUSY;
    if (!mux_bucket_take(&link->spawns, (uint64_t)g_get_monotonic_time()))
        return MUX_CONNECT_BUSY;
    return mux_service_spawn(link->relay->services, service, joint->use, &joint->child, ret_fd);
}

static void try_connect(MuxJoint *joint)
{
    MuxService *service = joint->service;
    int fd = -1;
    int r = reach_handler(joint, &fd);

    joint->tcp = !service->argv && service->address.tcp;
    if (r == MUX_CONNECT_BUSY)
        joint->retry = g_timeout_add(BUSY_RETRY_MS, on_retry, joint);
    else if (r < 0)
        refuse(joint, failure_code(r),
               service->argv ? "its program could not be started" : g_strerror(-r));
    else
        adopt(joint, fd, r == MUX_CONNECTING);
}

static size_t service_length(const char *name, size_t length)
{
    const char *colon = memchr(name, ':', length);
    return colon ? (size_t)(colon - name) : length;
}

// Why the service cannot take another channel now, or NULL.
static const char *too_much(const MuxService *service, const MuxUse *use)
{
    if (use->channels >= service->max_channels)
        return "the service's \"max_channels\" are open";
    // A handler that hangs must not take all the opens that may be waiting for an answer.
    if (use->connecting >= MUX_PENDING_DEFAULT / 2)
        return "its handler does not take those that wait already";
    return NULL;
}

void mux_joint_take(MuxLink *link, MuxChannel *channel, const char *name, size_t length)
{
    MuxService *service =
        mux_services_find(link->relay->services, name, service_length(name, length));
    MuxJoint *joint = mux_joint_new(link, MUX_JOINT_CONNECTING, name, length);

    joint->channel = channel;
    mux_channel_set_user(channel, joint);
    if (!service) {
        refuse(joint, MUX_CODE_NO_SERVICE, "no such service");
        return;
    }
    if (!mux_service_allows(service, link->name)) {
        refuse(joint, MUX_CODE_DENIED, "the service's \"vms\" do not have this VM");
        return;
    }
    MuxUse *use = mux_service_use(service, link->name);
    const char *full = too_much(service, use);
    if (full) {
        refuse(joint, MUX_CODE_LIMIT, full);
        return;
    }
    joint->service = mux_service_ref(service);
    joint->use = use;
    use->channels++;
    use->connecting++;
    try_connect(joint);
}
