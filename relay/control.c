// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A connection is either reading a request or writing its answer, never both, so a client that does
// not read its answers cannot make anything grow; a request is at most REQUEST_MAX bytes. Events
// are put behind what waits to be written as long as that is short; then they are dropped, and the
// client is told how many. What the verbs are is in verbs.c.

#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backlog.h"
#include "greeting.h"
#include "json.h"
#include "link.h"
#include "policy.h"
#include "services.h"
#include "verbs.h"

#define REQUEST_MAX  (64 * 1024)
#define CONTROLS_MAX 256
#define OF_ONE_USER  32 // so that no user can keep the others, and the administrator, out
#define PIECES       16

// What is asked is worked out while nobody else is served, so there are bounds to it: with 16,384
// channels, a status takes tens of milliseconds and megabytes.
#define HELD_MAX         (64 * 1024 * 1024)
#define CHANNELS_A_TOKEN 64
#define WORK_BURST       1024
#define WORK_PER_SECOND  512

// Of events, for one client.
#define EVENTS_HELD_MAX (256 * 1024)

struct MuxControl {
    MuxWatch watch;
    MuxList node;
    MuxControls *controls;
    MuxPeer peer;        // who connected
    GByteArray *request; // up to the line's end, and maybe beyond
    MuxBacklog answer;
    unsigned topics; // that it subscribed to
    guint lost;      // events that it did not read in time
};

struct MuxControls {
    MuxRelay *relay;
    MuxList list;
    guint count;
    unsigned topics; // that anybody subscribed to
    size_t held;     // bytes of answers that were not read yet
    MuxBucket work;  // what answers may cost
};

// --- writing

// False when the connection is gone.
static bool write_answer(MuxControl *control)
{
    struct iovec pieces[PIECES];

    while (control->answer.size > 0) {
        struct msghdr message = {.msg_iov = pieces};
        message.msg_iovlen = mux_backlog_peek(&control->answer, pieces, PIECES);
        ssize_t n = sendmsg(control->watch.fd, &message, MSG_NOSIGNAL);
        if (n > 0) {
            mux_backlog_drop(&control->answer, (size_t)n);
            control->controls->held -= (size_t)n;
        } else if (errno == EAGAIN || errno == EINTR) {
            mux_watch_drained(&control->watch, EPOLLOUT);
            return true;
        } else {
            return false;
        }
    }
    return true;
}

static void append(MuxControl *control, const char *bytes, size_t length)
{
    mux_backlog_append(&control->answer, bytes, length);
    control->controls->held += length;
}

static const char *text_of(json_object *object, size_t *ret_length)
{
    return json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_length);
}

static void put_object(MuxControl *control, json_object *object)
{
    size_t length;
    const char *text = text_of(object, &length);

    append(control, text, length);
    append(control, "\n", 1);
    json_object_put(object);
}

static uint32_t wanted(const MuxControl *control)
{
    return EPOLLHUP | (control->answer.size > 0 ? EPOLLOUT : EPOLLIN);
}

static void put_event(MuxControl *control, json_object *event)
{
    if (control->lost > 0 || control->answer.size > EVENTS_HELD_MAX ||
        control->controls->held > HELD_MAX) {
        control->lost++;
        return;
    }
    put_object(control, json_object_get(event));
    mux_watch_want(&control->watch, wanted(control));
}

// --- requests

// Whether the answers that were asked for lately are few enough for another one. The administrator
// is not kept waiting by what others ask.
static bool may_answer(MuxControl *control)
{
    MuxControls *controls = control->controls;
    uint64_t now = mux_loop_now(controls->relay->loop);
    size_t cost = 1;

    if (controls->held > HELD_MAX)
        return false;
    if (mux_peer_is_privileged(&control->peer))
        return true;
    for (guint i = 0; i < controls->relay->links->len; i++)
        cost += mux_link_channels(g_ptr_array_index(controls->relay->links, i)) / CHANNELS_A_TOKEN;
    while (cost-- > 0)
        if (!mux_bucket_take(&controls->work, now))
            return false;
    return true;
}

static json_object *answer(MuxControl *control, json_object *request, const GError *error)
{
    if (!request)
        return mux_verb_error("bad-request", error->message);
    if (!may_answer(control))
        return mux_verb_error("busy", "too much is being asked; try again in a second");
    return mux_verb_run(control, request);
}

// Answers the first whole line, if there is one.
static bool answer_line(MuxControl *control)
{
    GByteArray *request = control->request;
    const guint8 *end = request->len ? memchr(request->data, '\n', request->len) : NULL;
    g_autoptr(GError) error = NULL;

    if (!end)
        return false;
    guint length = (guint)(end - request->data);
    json_object *object = mux_json_parse((const char *)request->data, length, &error);
    put_object(control, answer(control, object, error));
    json_object_put(object);
    g_byte_array_remove_range(request, 0, length + 1);
    return true;
}

// False when the connection is gone, or said too much.
static bool read_request(MuxControl *control)
{
    guint8 buffer[4096];
    ssize_t n = recv(control->watch.fd, buffer, sizeof(buffer), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        mux_watch_drained(&control->watch, EPOLLIN);
        return true;
    }
    if (n <= 0)
        return false;
    g_byte_array_append(control->request, buffer, (guint)n);
    return control->request->len <= REQUEST_MAX;
}

static void tell_lost(MuxControl *control)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string("lost"));
    json_object_object_add(event, "count", json_object_new_int64(control->lost));
    control->lost = 0;
    put_object(control, event);
}

// Reads only when nothing is left to be answered, so that what was asked is neither lost nor piles
// up. False when the connection is gone.
static bool step(MuxControl *control)
{
    if (!write_answer(control))
        return false;
    if (control->answer.size == 0 && control->lost > 0)
        tell_lost(control);
    while (control->answer.size == 0 && answer_line(control))
        if (!write_answer(control))
            return false;
    return control->answer.size > 0 || read_request(control);
}

// --- life

static void update_topics(MuxControls *controls)
{
    controls->topics = 0;
    for (const MuxList *node = controls->list.next; node != &controls->list; node = node->next)
        controls->topics |= mux_container(node, const MuxControl, node)->topics;
}

static void control_free(MuxControl *control)
{
    MuxControls *controls = control->controls;

    controls->count--;
    mux_list_remove(&control->node);
    update_topics(controls);
    (void)mux_services_unregister(controls->relay->services, control, NULL);
    mux_watch_close(&control->watch);
    g_byte_array_unref(control->request);
    controls->held -= control->answer.size;
    mux_backlog_clear(&control->answer);
    mux_peer_clear(&control->peer);
    g_free(control);
}

static void on_control(MuxWatch *watch)
{
    MuxControl *control = mux_container(watch, MuxControl, watch);

    if (step(control))
        mux_watch_want(watch, wanted(control));
    else
        control_free(control);
}

static bool has_room(const MuxControls *controls, uid_t uid)
{
    unsigned of_user = 0;

    for (const MuxList *node = controls->list.next; node != &controls->list; node = node->next)
        of_user += mux_container(node, const MuxControl, node)->peer.uid == uid;
    return controls->count < CONTROLS_MAX && of_user < OF_ONE_USER;
}

static MuxControl *control_new(MuxControls *controls, MuxPeer *peer)
{
    MuxControl *control = g_new0(MuxControl, 1);

    control->controls = controls;
    control->peer = *peer;
    *peer = (MuxPeer){0};
    control->request = g_byte_array_new();
    mux_watch_init(&control->watch);
    mux_list_init(&control->node);
    mux_list_append(&controls->list, &control->node);
    controls->count++;
    return control;
}

void mux_control_add(MuxControls *controls, int fd, bool answers, MuxPeer *peer)
{
    if (!has_room(controls, peer->uid)) {
        mux_greeting_refuse(fd, answers, MUX_CODE_LIMIT, "@control",
                            "too many control connections are open");
        close(fd);
        mux_peer_clear(peer);
        return;
    }
    MuxControl *control = control_new(controls, peer);
    if (mux_watch_start(&control->watch, controls->relay->loop, fd, EPOLLIN | EPOLLHUP,
                        on_control) < 0) {
        close(fd);
        control_free(control);
        return;
    }
    if (answers)
        append(control, "OK\n", 3);
    if (!write_answer(control))
        control_free(control);
}

MuxControls *mux_controls_new(MuxRelay *relay)
{
    MuxControls *controls = g_new0(MuxControls, 1);

    controls->relay = relay;
    mux_list_init(&controls->list);
    mux_bucket_init(&controls->work, WORK_BURST, WORK_PER_SECOND, mux_loop_now(relay->loop));
    return controls;
}

MuxControls *mux_controls_free(MuxControls *controls)
{
    MuxList *first;

    if (!controls)
        return NULL;
    while ((first = mux_list_first(&controls->list)))
        control_free(mux_container(first, MuxControl, node));
    g_free(controls);
    return NULL;
}

// --- events

bool mux_controls_want(const MuxControls *controls, unsigned topic)
{
    return controls && controls->topics & topic;
}

static bool may_see(const MuxControl *control, const MuxAudience *audience)
{
    return !audience || !audience->service ||
           mux_policy_allows(control->controls->relay->policy, MUX_POLICY_OPEN, audience->service,
                             strlen(audience->service), &control->peer);
}

static bool sees_name(const MuxControl *control, const MuxAudience *audience)
{
    return audience && audience->name &&
           (mux_peer_is_privileged(&control->peer) || control->peer.uid == audience->owner);
}

static void set_service(json_object *event, const char *name)
{
    // An argument may be any bytes, but JSON is UTF-8.
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    json_object_object_add(event, "service", json_object_new_string(valid));
}

void mux_controls_publish(MuxControls *controls, unsigned topic, json_object *event,
                          const MuxAudience *audience)
{
    json_object *whole = NULL;

    if (audience && audience->name && json_object_deep_copy(event, &whole, NULL) == 0)
        set_service(whole, audience->name);
    for (MuxList *node = controls->list.next; node != &controls->list; node = node->next) {
        MuxControl *control = mux_container(node, MuxControl, node);
        if (control->topics & topic && may_see(control, audience))
            put_event(control, whole && sees_name(control, audience) ? whole : event);
    }
    json_object_put(whole);
    json_object_put(event);
}

// --- for verbs and services

MuxRelay *mux_control_relay(const MuxControl *control)
{
    return control->controls->relay;
}

const MuxPeer *mux_control_peer(const MuxControl *control)
{
    return &control->peer;
}

void mux_control_subscribe(MuxControl *control, unsigned topics)
{
    control->topics = topics;
    update_topics(control->controls);
}

unsigned mux_control_registered(const MuxControl *control)
{
    const MuxControls *controls = control->controls;
    unsigned count = 0;

    for (const MuxList *node = controls->list.next; node != &controls->list; node = node->next) {
        const MuxControl *other = mux_container(node, const MuxControl, node);
        if (other->peer.uid == control->peer.uid)
            count += mux_services_registered(controls->relay->services, other);
    }
    return count;
}

static ssize_t send_with(int socket, const char *text, size_t length, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec pieces[] = {{(void *)text, length}, {(void *)"\n", 1}};
    struct msghdr message = {.msg_iov = pieces,
                             .msg_iovlen = 2,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

int mux_control_hand(MuxControl *control, json_object *event, int fd)
{
    size_t length;
    const char *text = text_of(event, &length);
    // In order with what waits already.
    ssize_t n = control->answer.size > 0 ? -1 : send_with(control->watch.fd, text, length, fd);
    int r = n >= 0 ? 0 : control->answer.size > 0 || errno == EAGAIN ? MUX_CONTROL_BUSY : -errno;

    if (n >= 0 && (size_t)n < length + 1) {
        if ((size_t)n < length)
            append(control, text + n, length - (size_t)n);
        append(control, "\n", 1);
        mux_watch_want(&control->watch, wanted(control));
    }
    json_object_put(event);
    return r;
}

void mux_control_unregistered(MuxControl *control, const char *service, const char *why)
{
    json_object *event = json_object_new_object();

    json_object_object_add(event, "event", json_object_new_string("unregistered"));
    json_object_object_add(event, "service", json_object_new_string(service));
    json_object_object_add(event, "reason", json_object_new_string(why));
    put_event(control, event);
    json_object_put(event);
}
