// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What came of opening a channel, and what its opener is told; and channels that the daemon itself
// opens or takes.

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events.h"
#include "greeting.h"
#include "joint.h"
#include "link-session.h"

// An app that does not take a few bytes is gone; that shows when its socket is read.
static void say_ok(const MuxJoint *joint)
{
    char line[32] = "OK\n";
    MuxChannelInfo info;

    if (joint->answers == MUX_ANSWERS_NONE)
        return;
    mux_channel_info(joint->channel, &info);
    if (joint->answers == MUX_ANSWERS_CONNECT)
        (void)snprintf(line, sizeof(line), "OK %u\n", info.id);
    (void)send(joint->watch.fd, line, strlen(line), MSG_NOSIGNAL);
}

void mux_joint_accepted(MuxJoint *joint)
{
    say_ok(joint);
    joint->link->opened += !joint->own;
    mux_joint_settle(joint);
}

// The channel was not opened, and who opened it is told so.
static void refused(MuxJoint *joint, uint32_t code)
{
    MuxLink *link = joint->link;

    if (joint->own) {
        if (joint->lines && mux_session_is_up(link->session)) // or it is the session that ended
            mux_lines_refused(joint->lines);
        return;
    }
    mux_greeting_refuse(joint->watch.fd, joint->answers, code, joint->name, NULL);
    mux_event_channel_refused(link, joint->name, "out", &joint->caller, code);
    link->refused++;
}

void mux_joint_reset(MuxJoint *joint, uint32_t code)
{
    if (joint->state == MUX_JOINT_OPENING)
        refused(joint, code);
    mux_joint_free(joint, code);
}

void mux_joint_expire(MuxJoint *joint)
{
    mux_link_log(joint->link, G_LOG_LEVEL_INFO, "channel to '%s' timed out", joint->name);
    if (joint->state == MUX_JOINT_OPENING) {
        refused(joint, MUX_CODE_TIMEOUT);
    } else {
        mux_event_channel_refused(joint->link, joint->name, "in", &joint->caller, MUX_CODE_TIMEOUT);
        joint->link->refused++;
    }
    mux_joint_free(joint, MUX_CODE_TIMEOUT);
}

// --- the daemon's own

static MuxJoint *own_new(MuxLink *link, MuxJointState state, const char *name, int fd)
{
    MuxJoint *joint = mux_joint_new(link, state, name, strlen(name));

    joint->own = true;
    link->own++;
    if (mux_watch_start(&joint->watch, link->relay->loop, fd, 0, NULL) < 0)
        close(fd);
    return joint;
}

MuxJoint *mux_joint_open_own(MuxLink *link, const char *name, int fd, MuxLines *lines)
{
    MuxJoint *joint = own_new(link, MUX_JOINT_OPENING, name, fd);
    const MuxOpening opening = {
        .name = name, .length = strlen(name), .nonce = mux_link_nonce(), .user = joint};

    if (joint->watch.fd >= 0 && mux_session_open(link->session, &opening, &joint->channel) == 0) {
        joint->lines = lines;
        return joint;
    }
    mux_joint_free(joint, MUX_CODE_CLOSED);
    return NULL;
}

MuxJoint *mux_joint_take_own(MuxLink *link, MuxChannel *channel, const char *name, int fd,
                             MuxLines *lines)
{
    MuxJoint *joint = own_new(link, MUX_JOINT_CONNECTING, name, fd);

    joint->channel = channel;
    if (joint->watch.fd < 0) {
        mux_joint_free(joint, MUX_CODE_LIMIT);
        return NULL;
    }
    joint->lines = lines;
    mux_channel_accept(channel, joint);
    mux_joint_settle(joint);
    return joint;
}
