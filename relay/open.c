// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is asked here is whether this side lets the program open it. Whether there is such a service
// is for the other side to say: what it announced may be a moment old.

#include "open.h"

#include <string.h>
#include <unistd.h>

#include "events.h"
#include "joint.h"
#include "link-session.h"
#include "policy.h"

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

static void refuse_unknown(int fd, const char *name, MuxAnswers answers)
{
    bool slash = strchr(name, '/');

    mux_greeting_refuse(fd, answers, slash ? MUX_CODE_NO_SERVICE : MUX_CODE_BAD_NAME, name,
                        slash ? "there is no such VM (see muxctl vms)"
                              : "on the host a name is VM/service[:argument]");
    close(fd);
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

// Why this side does not let the program open it, or NULL.
static const char *forbids(MuxJoint *joint, const MuxPeer *peer, MuxCode *ret_code)
{
    MuxLink *link = joint->link;
    const MuxRelay *relay = link->relay;

    *ret_code = MUX_CODE_DENIED;
    if (!peer->known)
        return "it is not known who this is";
    if (!mux_policy_allows(relay->policy, MUX_POLICY_OPEN, joint->name, strlen(joint->name), peer))
        return "the policy does not let this user open it";
    *ret_code = MUX_CODE_LIMIT;
    switch (mux_user_enter(link->users, peer->uid, &relay->users, &joint->user)) {
    case MUX_USER_FREE:
        return NULL;
    case MUX_USER_LIMIT:
        return "this user has as many channels as he may";
    default:
        return mux_relay_has_room(relay, joint->user->channels)
                   ? NULL
                   : "this user has more than his share of file descriptors";
    }
}

static void refuse(MuxJoint *joint, int fd, MuxCode code, const char *why)
{
    mux_greeting_refuse(fd, joint->answers, code, joint->name, why);
    mux_event_channel_refused(joint->link, joint->name, "out", &joint->caller, code);
    joint->link->refused++;
    if (joint->watch.fd < 0)
        close(fd);
    mux_joint_free(joint, MUX_CODE_CLOSED);
}

static int open_channel(MuxJoint *joint, int fd)
{
    const MuxOpening opening = {.name = joint->name,
                                .length = strlen(joint->name),
                                .nonce = mux_link_nonce(),
                                .caller = &joint->caller,
                                .account = joint->user ? &joint->user->account : NULL,
                                .user = joint};
    // It is not looked at before the answer is there: what it wrote meanwhile, even if it has gone
    // since, is still to be carried.
    int r = mux_watch_start(&joint->watch, joint->link->relay->loop, fd, 0, NULL);

    return r == 0 ? mux_session_open(joint->link->session, &opening, &joint->channel) : r;
}

void mux_open(MuxRelay *relay, int fd, const char *name, MuxAnswers answers, const MuxPeer *peer)
{
    MuxLink *link = find_link(relay, &name);
    MuxCode code;

    if (!link) {
        refuse_unknown(fd, name, answers);
        return;
    }
    MuxJoint *joint = mux_joint_new(link, MUX_JOINT_OPENING, name, strlen(name));
    joint->answers = (uint8_t)answers;
    mux_peer_caller(peer, &joint->caller);
    if (name[0] == '@') {
        refuse(joint, fd, MUX_CODE_BAD_NAME, "names with '@' are the daemon's own");
        return;
    }
    const char *why = forbids(joint, peer, &code);
    if (why) {
        mux_link_log(link, G_LOG_LEVEL_INFO, "channel to '%s' refused to %s (uid %u): %s", name,
                     joint->caller.program, joint->caller.uid, why);
        refuse(joint, fd, code, why);
        return;
    }
    int r = open_channel(joint, fd);
    if (r != 0)
        refuse(joint, fd, open_code(r), NULL);
}
