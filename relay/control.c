// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A connection is either reading a request or writing its answer, never both, so a client that does
// not read its answers cannot make anything grow; a request is at most REQUEST_MAX bytes. What the
// verbs are is in verbs.c; events come from publish.c.

#include "control-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffers/buffer-events.h"
#include "events.h"
#include "greeting.h"
#include "json.h"
#include "link.h"
#include "policy.h"
#include "remotes.h"
#include "services.h"
#include "verbs.h"

#define REQUEST_MAX (64 * 1024)
#define PIECES      16

// What a request costs: channels, services, and the bytes of what was announced.
#define THINGS_A_TOKEN 64
#define BYTES_A_TOKEN  (16 * 1024)

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
            control->asker->held -= (size_t)n;
        } else if (errno == EAGAIN || errno == EINTR) {
            mux_watch_drained(&control->watch, EPOLLOUT);
            return true;
        } else {
            return false;
        }
    }
    return true;
}

void mux_control_append(MuxControl *control, const char *bytes, size_t length)
{
    mux_backlog_append(&control->answer, bytes, length);
    control->asker->held += length;
}

const char *mux_control_text(json_object *object, size_t *ret_length)
{
    return json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_length);
}

void mux_control_put(MuxControl *control, json_object *object)
{
    size_t length;
    const char *text = mux_control_text(object, &length);

    mux_control_append(control, text, length);
    mux_control_append(control, "\n", 1);
    json_object_put(object);
}

uint32_t mux_control_wanted(const MuxControl *control)
{
    bool writes = control->answer.size > 0 || control->lossy;

    return EPOLLHUP | (writes ? EPOLLOUT : EPOLLIN) | (control->full ? EPOLLOUT : 0);
}

// --- requests

static size_t cost(const MuxRelay *relay, json_object *request)
{
    const char *verb = NULL;
    (void)mux_json_string(request, "verb", &verb, NULL);
    bool services = g_strcmp0(verb, "services") == 0, status = g_strcmp0(verb, "status") == 0;
    bool buffers = g_strcmp0(verb, "buffers") == 0 || g_strcmp0(verb, "events") == 0;
    size_t things = services ? mux_services_count(relay->services) : 0, bytes = 0;

    for (guint i = 0; i < relay->links->len; i++) {
        const MuxLink *link = g_ptr_array_index(relay->links, i);
        things += services ? mux_remotes_count(link->remotes) : 0;
        bytes += services ? mux_remotes_bytes(link->remotes) : 0;
        things += status ? mux_link_channels(link) : 0;
        bytes += buffers ? (size_t)mux_buffers_count(link) * MUX_BUFFER_TEXT_MAX : 0;
    }
    return 1 + things / THINGS_A_TOKEN + bytes / BYTES_A_TOKEN;
}

static bool may_answer(MuxControl *control, json_object *request)
{
    MuxControls *controls = control->controls;

    return mux_asker_reads(control->asker) &&
           mux_asker_may_ask(&controls->askers, control->asker, cost(controls->relay, request),
                             mux_loop_now(controls->relay->loop));
}

static json_object *answer(MuxControl *control, json_object *request, const GError *error)
{
    if (!request)
        return mux_verb_error("bad-request", error->message);
    if (!may_answer(control, request))
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
    mux_control_put(control, answer(control, object, error));
    if (control->subscribed && control->topics & MUX_TOPIC_BUFFERS)
        mux_event_buffers_present(control);
    control->subscribed = false;
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
    control->lossy = false;
    mux_control_put(control, event);
}

// Reads only when nothing is left to be answered, so that what was asked is neither lost nor piles
// up. False when the connection is gone.
static bool step(MuxControl *control)
{
    if (!write_answer(control))
        return false;
    if (control->answer.size == 0 && control->lossy)
        tell_lost(control);
    while (control->answer.size == 0 && answer_line(control))
        if (!write_answer(control))
            return false;
    // What is read before the loop has heard of it would not be looked at again.
    bool readable = control->watch.ready & (EPOLLIN | EPOLLHUP);
    return control->answer.size > 0 || !readable || read_request(control);
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

    mux_list_remove(&control->node);
    update_topics(controls);
    (void)mux_services_unregister(controls->relay->services, control, NULL);
    mux_watch_close(&control->watch);
    g_byte_array_unref(control->request);
    control->asker->held -= control->answer.size;
    mux_asker_leave(&controls->askers, control->asker);
    mux_backlog_clear(&control->answer);
    mux_peer_clear(&control->peer);
    g_free(control->application);
    g_free(control);
}

static void on_control(MuxWatch *watch)
{
    MuxControl *control = mux_container(watch, MuxControl, watch);

    if (watch->ready & EPOLLOUT)
        control->full = false;
    if (step(control))
        mux_watch_want(watch, mux_control_wanted(control));
    else
        control_free(control);
}

// NULL when there are too many.
static MuxControl *control_new(MuxControls *controls, MuxPeer *peer)
{
    MuxAsker *asker = mux_asker_enter(&controls->askers, peer, mux_loop_now(controls->relay->loop));
    if (!asker)
        return NULL;

    MuxControl *control = g_new0(MuxControl, 1);
    control->controls = controls;
    control->asker = asker;
    control->peer = *peer;
    *peer = (MuxPeer){0};
    control->request = g_byte_array_new();
    mux_watch_init(&control->watch);
    mux_list_init(&control->node);
    mux_list_append(&controls->list, &control->node);
    return control;
}

void mux_control_add(MuxControls *controls, int fd, bool answers, MuxPeer *peer)
{
    MuxControl *control = control_new(controls, peer);

    if (!control) {
        mux_greeting_refuse(fd, answers, MUX_CODE_LIMIT, "@control",
                            "too many control connections are open");
        close(fd);
        mux_peer_clear(peer);
        return;
    }
    if (mux_watch_start(&control->watch, controls->relay->loop, fd, EPOLLIN | EPOLLHUP,
                        on_control) < 0) {
        close(fd);
        control_free(control);
        return;
    }
    if (answers)
        mux_control_append(control, "OK\n", 3);
    if (!write_answer(control))
        control_free(control);
}

MuxControls *mux_controls_new(MuxRelay *relay)
{
    MuxControls *controls = g_new0(MuxControls, 1);

    controls->relay = relay;
    mux_list_init(&controls->list);
    mux_askers_init(&controls->askers, mux_loop_now(relay->loop));
    return controls;
}

MuxControls *mux_controls_free(MuxControls *controls)
{
    MuxList *first;

    if (!controls)
        return NULL;
    while ((first = mux_list_first(&controls->list)))
        control_free(mux_container(first, MuxControl, node));
    mux_askers_deinit(&controls->askers);
    g_free(controls);
    return NULL;
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

void mux_control_subscribe(MuxControl *control, unsigned topics, const char *application)
{
    control->topics = topics;
    control->subscribed = true;
    g_free(control->application);
    control->application = g_strdup(application);
    update_topics(control->controls);
}

bool mux_control_may_register(const MuxControl *control, const char *service)
{
    return mux_policy_allows(control->controls->relay->policy, MUX_POLICY_REGISTER, service,
                             strlen(service), &control->peer);
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
