// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The joint owns its socket and its end of the channel. Bytes from the channel go to the socket at
// once, or into the backlog, which credit bounds; credit goes back when the socket has taken them.
// Bytes from the socket stay in the kernel until it is the channel's turn, and are read straight
// into the batch.
//
// It ends when both directions have: `eof` (FIN was sent), and `fin` with nothing left in the
// backlog.
//
// A socket that nobody reads any more (EPIPE, or a hang-up, before which there may still be bytes
// in it) is `deaf`: the peer is told to stop, and its end of the direction comes as FIN. A unix
// socket whose owner closed it without having read everything gives ECONNRESET; that is no failure
// of what he wrote before, so it counts as his end of file.

#include "joint.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events.h"
#include "regions.h"

#define PIECES 64

MuxJoint *mux_joint_new(MuxLink *link, MuxJointState state, const char *name, size_t length)
{
    MuxJoint *joint = g_new0(MuxJoint, 1);

    joint->link = link;
    joint->backlog.session = link->session;
    joint->state = (uint8_t)state;
    joint->name = g_strndup(name, length);
    joint->since_us = mux_loop_now(link->relay->loop);
    mux_watch_init(&joint->watch);
    mux_list_init(&joint->node);
    mux_list_init(&joint->waits);
    mux_list_append(&link->unsettled, &joint->node);
    link->sockets++;
    link->relay->sockets++;
    mux_link_kick(link);
    return joint;
}

// A reset is shown by TCP as such; closing a unix socket is all that can be done.
static void close_socket(MuxJoint *joint, bool reset)
{
    struct linger linger = {.l_onoff = 1};

    if (reset && joint->tcp && joint->watch.fd >= 0)
        (void)setsockopt(joint->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    mux_watch_close(&joint->watch);
}

// Takes back what it counts for.
static void uncount(MuxJoint *joint)
{
    MuxLink *link = joint->link;

    link->sockets--;
    link->relay->sockets--;
    link->own -= joint->own;
    if (joint->lines)
        mux_lines_left(joint->lines);
    mux_user_leave(link->users, joint->user);
    if (joint->service) {
        joint->use->channels--;
        joint->use->connecting -= joint->state == MUX_JOINT_CONNECTING;
        mux_service_unref(joint->service);
    }
}

static void end(MuxJoint *joint, uint32_t code, bool reset)
{
    g_debug("link %s: channel to '%s' %s", joint->link->name, joint->name,
            reset ? mux_code_name(code) : "done");
    if (joint->state == MUX_JOINT_JOINED)
        mux_event_channel_closed(joint, code, !reset);
    if (joint->known)
        *joint->known = NULL;
    close_socket(joint, reset);
    mux_waiting_leave(joint);
    mux_child_leave(joint->child, reset);
    if (joint->channel)
        mux_channel_close(joint->channel, (MuxCode)code);
    mux_link_kick(joint->link);
    mux_list_remove(&joint->node);
    mux_backlog_clear(&joint->backlog);
    uncount(joint);
    g_free(joint->name);
    g_free(joint);
}

void mux_joint_free(MuxJoint *joint, uint32_t code)
{
    end(joint, code, true);
}

static bool end_if_done(MuxJoint *joint)
{
    if (!joint->eof || !joint->fin || joint->backlog.size > 0)
        return false;
    end(joint, MUX_CODE_CLOSED, false);
    return true;
}

// Which readiness is of use now.
static void want(MuxJoint *joint)
{
    uint32_t wanted = 0;

    if (!joint->eof && !joint->offered)
        wanted |= EPOLLIN | EPOLLRDHUP;
    else if (!joint->eof && !(joint->watch.ready & EPOLLRDHUP))
        wanted |= EPOLLRDHUP; // see find_eof()
    if (!joint->deaf)
        wanted |= EPOLLHUP;
    if (joint->backlog.size > 0)
        wanted |= EPOLLOUT;
    mux_watch_want(&joint->watch, wanted);
}

// --- channel to socket

static void consumed(MuxJoint *joint, size_t n)
{
    mux_channel_consumed(joint->channel, n);
    mux_link_kick(joint->link);
}

// Nobody reads the socket any more.
static void go_deaf(MuxJoint *joint)
{
    if (joint->deaf)
        return;
    joint->deaf = true;
    consumed(joint, joint->backlog.size);
    mux_backlog_clear(&joint->backlog);
    mux_channel_stop(joint->channel);
}

// Writes what goes. Returns how much; the joint may be deaf afterwards.
static size_t write_pieces(MuxJoint *joint, const struct iovec *pieces, size_t n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = n};
    ssize_t written = sendmsg(joint->watch.fd, &message, MSG_NOSIGNAL);

    if (written >= 0)
        return (size_t)written;
    mux_watch_drained(&joint->watch, EPOLLOUT);
    if (errno == EFAULT)
        mux_regions_fault(joint->link);
    if (errno != EAGAIN && errno != EINTR)
        go_deaf(joint);
    return 0;
}

// Its reader takes what comes, but not all at once: the less often he and we have to take turns,
// and the less is copied to wait, the better. The kernel makes it no larger than net.core.wmem_max
// allows. Not before he has read: a reader who never does should not hold more than a little.
static void make_room(MuxJoint *joint)
{
    static const int size = 1 << 20;

    // TCP makes its own room, unless it is told how much.
    if (!joint->roomy && !joint->tcp)
        (void)setsockopt(joint->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    joint->roomy = true;
}

static void flush_backlog(MuxJoint *joint)
{
    struct iovec pieces[PIECES];

    while (joint->backlog.size > 0) {
        size_t n = mux_backlog_peek(&joint->backlog, pieces, PIECES);
        size_t written = write_pieces(joint, pieces, n);
        if (written == 0)
            return;
        mux_backlog_drop(&joint->backlog, written);
        consumed(joint, written);
        make_room(joint);
    }
    if (joint->fin && !joint->deaf)
        (void)shutdown(joint->watch.fd, SHUT_WR);
}

// What the socket did not take of a piece waits, where it lies if that is a slot.
static void keep(MuxJoint *joint, const struct iovec *piece, uint64_t slot, size_t written)
{
    const char *rest = (const char *)piece->iov_base + written;
    size_t size = piece->iov_len - written;

    if (slot && size > 0)
        mux_backlog_append_slot(&joint->backlog, rest, size, slot);
    else if (slot)
        mux_session_give(joint->link->session, slot);
    else
        mux_backlog_append(&joint->backlog, rest, size);
}

void mux_joint_data(MuxJoint *joint, const struct iovec *pieces, const uint64_t *slots, size_t n)
{
    size_t written = 0, size = 0;

    for (size_t i = 0; i < n; i++)
        size += pieces[i].iov_len;
    if (!joint->deaf && joint->backlog.size == 0)
        written = write_pieces(joint, pieces, n);
    if (joint->deaf)
        written = size;
    if (written > 0)
        consumed(joint, written);

    for (size_t i = 0; i < n; i++) {
        size_t skip = MIN(written, pieces[i].iov_len);
        written -= skip;
        keep(joint, &pieces[i], slots[i], skip);
    }
    want(joint);
}

void mux_joint_fin(MuxJoint *joint)
{
    joint->fin = true;
    if (joint->backlog.size == 0 && !joint->deaf)
        (void)shutdown(joint->watch.fd, SHUT_WR);
    end_if_done(joint);
}

// --- socket to channel

static void reach_eof(MuxJoint *joint, bool gone)
{
    joint->eof = true;
    mux_channel_fin(joint->channel);
    if (gone)
        go_deaf(joint);
    want(joint);
}

// It could not be read.
static void end_input(MuxJoint *joint, ssize_t n)
{
    if (n < 0 && joint->tcp)
        joint->broken = true;
    else
        reach_eof(joint, n < 0 || joint->watch.ready & EPOLLHUP);
}

// Turns need credit and room in the port; FIN needs neither. So the end is looked for without one.
static void find_eof(MuxJoint *joint)
{
    char byte;

    if (joint->eof || !(joint->watch.ready & (EPOLLRDHUP | EPOLLHUP)))
        return;
    ssize_t n = recv(joint->watch.fd, &byte, sizeof(byte), MSG_PEEK);
    if (n <= 0 && (n == 0 || errno != EAGAIN))
        end_input(joint, n);
}

// The socket is empty: the next that comes is reported again.
static void drained(MuxJoint *joint)
{
    joint->offered = false;
    mux_watch_drained(&joint->watch, EPOLLIN);
    want(joint);
}

size_t mux_joint_turn(MuxJoint *joint, void *base, size_t size, bool *ret_more)
{
    ssize_t n = read(joint->watch.fd, base, size);
    bool hangup = joint->watch.ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

    *ret_more = false;
    if (n > 0) {
        // A short read means that the socket is empty, unless its end is behind what was read.
        *ret_more = (size_t)n == size || hangup;
        if (!*ret_more)
            drained(joint);
        return (size_t)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        drained(joint);
    } else if (n < 0 && errno == EFAULT) {
        mux_regions_fault(joint->link);
        *ret_more = true;
    } else {
        end_input(joint, n);
    }
    return 0;
}

static void end_if_over(MuxJoint *joint)
{
    if (joint->broken)
        end(joint, MUX_CODE_CLOSED, true);
    else
        end_if_done(joint);
}

void mux_joint_turned(MuxJoint *joint)
{
    find_eof(joint);
    end_if_over(joint);
}

void mux_joint_stop(MuxJoint *joint)
{
    // The session has answered with FIN by itself.
    joint->eof = true;
    (void)shutdown(joint->watch.fd, SHUT_RD);
    want(joint);
    end_if_done(joint);
}

static void on_socket(MuxWatch *watch)
{
    MuxJoint *joint = mux_container(watch, MuxJoint, watch);

    if (watch->ready & EPOLLOUT && joint->backlog.size > 0)
        flush_backlog(joint);
    if (watch->ready & EPOLLHUP)
        go_deaf(joint);
    find_eof(joint);
    if (!joint->eof && !joint->offered && watch->ready & (EPOLLIN | EPOLLRDHUP)) {
        joint->offered = true;
        mux_channel_ready(joint->channel);
        mux_link_kick(joint->link);
    }
    want(joint);
    end_if_over(joint);
}

// --- beginning and end

void mux_joint_settle(MuxJoint *joint)
{
    g_debug("link %s: channel to '%s' open", joint->link->name, joint->name);
    joint->state = MUX_JOINT_JOINED;
    mux_event_channel_opened(joint);
    mux_list_append(&joint->link->joints, &joint->node);
    joint->watch.fn = on_socket;
    want(joint);
}
