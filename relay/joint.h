// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A joint: one channel and one local socket, joined. An app's on the side that opens, a handler's
// on the other; once both are there, they are the same.
#pragma once

#include <stdbool.h>

#include "backlog.h"
#include "lines.h"
#include "link.h"
#include "loop.h"
#include "services.h"

typedef struct MuxJoint MuxJoint;

typedef enum MuxJointState {
    MUX_JOINT_CONNECTING, // the handler is not connected yet
    MUX_JOINT_OPENING,    // the other side has not answered
    MUX_JOINT_JOINED,
} MuxJointState;

struct MuxJoint {
    MuxWatch watch; // owns the socket
    MuxList node;   // in its link
    MuxLink *link;
    MuxChannel *channel;
    MuxBacklog backlog;  // bytes of the channel for the socket
    char *name;          // service[:argument]
    MuxService *service; // the handler's; NULL for an app
    MuxUse *use;         // what the link has of it
    MuxChild *child;     // the handler, when it was started for this channel
    uint64_t since_us;
    MuxList waits;    // in its use's line: the handler takes nobody now
    MuxCaller caller; // who opened it
    MuxUser *user;    // to whom it is counted; NULL for root, and on the handler's side
    MuxLines *lines;  // the daemon's end, if it is the daemon's and still there
    MuxJoint **known; // who else points at it, and is to do so no longer; or NULL
    uint8_t state;    // MuxJointState
    uint8_t answers;  // MuxAnswers: what the app is told
    bool own;         // the daemon's: neither counted nor shown
    bool tcp;
    bool roomy;   // its socket's buffer was made as large as it may be
    bool offered; // the session knows that the socket has something
    bool broken;  // the socket failed: to be ended after the turn
    bool eof;     // nothing more comes from the socket, and FIN was said
    bool fin;     // nothing more comes from the channel
    bool deaf;    // the socket takes nothing more
};

// For the two that make joints, apps.c and handler.c: an unsettled joint without a socket.
MuxJoint *mux_joint_new(MuxLink *link, MuxJointState state, const char *name, size_t length);
// Both ends are there: bytes flow from now on.
void mux_joint_settle(MuxJoint *joint);
// Ends it, and its channel with RESET if that is still open.
void mux_joint_free(MuxJoint *joint, uint32_t code);

// A channel whose local end is the daemon itself, with `fd`, which becomes the joint's; these two
// are for lines.c, which is told when the joint is gone. Opens it; NULL when that is not possible,
// with `fd` closed.
MuxJoint *mux_joint_open_own(MuxLink *link, const char *name, int fd, MuxLines *lines);
// Accepts it; or refuses it, NULL, when that is not possible, with `fd` closed.
MuxJoint *mux_joint_take_own(MuxLink *link, MuxChannel *channel, const char *name, int fd,
                             MuxLines *lines);

// --- what its link calls

// handler.c: a channel was opened by the other side; joins it to its service's handler, or refuses
// it.
void mux_joint_take(MuxLink *link, const MuxEvent *event);
// Tries to reach its handler. False when it has to wait; *ret_due_us is until when, by
// g_get_monotonic_time(), or 0 if nobody knows. Otherwise it waits no longer, and may have been
// refused and be gone.
bool mux_joint_reach(MuxJoint *joint, uint64_t *ret_due_us);
void mux_joint_accepted(MuxJoint *joint);
// Bytes of the channel, in `n` pieces, which lie in these slots, or 0. The joint stays, whatever
// happens.
void mux_joint_data(MuxJoint *joint, const struct iovec *pieces, const uint64_t *slots, size_t n);
// These may end the joint.
void mux_joint_fin(MuxJoint *joint);
void mux_joint_stop(MuxJoint *joint);
void mux_joint_reset(MuxJoint *joint, uint32_t code);
// Its time to be joined is over.
void mux_joint_expire(MuxJoint *joint);
// Reads into the batch, or into a slot. Returns how much; *ret_more: there may be more at once.
size_t mux_joint_turn(MuxJoint *joint, void *base, size_t size, bool *ret_more);
// The turn is over: the joint ends now if that was its last.
void mux_joint_turned(MuxJoint *joint);
