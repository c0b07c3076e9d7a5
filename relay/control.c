// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A connection is either reading a request or writing its answer, never both, so a client that does
// not read its answers cannot make anything grow; a request is at most REQUEST_MAX bytes. What the
// verbs are is in verbs.c.

#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "backlog.h"
#include "greeting.h"
#include "json.h"
#include "link.h"
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

typedef struct Control {
    MuxWatch watch;
    MuxList node;
    MuxControls *controls;
    uid_t uid;           // of who connected
    GByteArray *request; // up to the line's end, and maybe beyond
    MuxBacklog answer;
} Control;

struct MuxControls {
    MuxRelay *relay;
    MuxList list;
    guint count;
    size_t held;    // bytes of answers that were not read yet
    MuxBucket work; // what answers may cost
};

static void control_free(Control *control)
{
    control->controls->count--;
    mux_list_remove(&control->node);
    mux_watch_close(&control->watch);
    g_byte_array_unref(control->request);
    control->controls->held -= control->answer.size;
    mux_backlog_clear(&control->answer);
    g_free(control);
}

// Whether the answers that were asked for lately are few enough for another one. The administrator
// is not kept waiting by what others ask.
static bool may_answer(Control *control)
{
    MuxControls *controls = control->controls;
    uint64_t now = mux_loop_now(controls->relay->loop);
    size_t cost = 1;

    if (controls->held > HELD_MAX)
        return false;
    if (control->uid == 0 || control->uid == geteuid())
        return true;
    for (guint i = 0; i < controls->relay->links->len; i++)
        cost += mux_link_channels(g_ptr_array_index(controls->relay->links, i)) / CHANNELS_A_TOKEN;
    while (cost-- > 0)
        if (!mux_bucket_take(&controls->work, now))
            return false;
    return true;
}

// False when the connection is gone.
static bool write_answer(Control *control)
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

static void put_answer(Control *control, json_object *answer)
{
    size_t length;
    const char *text = json_object_to_json_string_length(
        answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);

    mux_backlog_append(&control->answer, text, length);
    mux_backlog_append(&control->answer, "\n", 1);
    control->controls->held += length + 1;
    json_object_put(answer);
}

static json_object *answer(Control *control, json_object *request, const GError *error)
{
    if (!request)
        return mux_verb_error("bad-request", error->message);
    if (!may_answer(control))
        return mux_verb_error("busy", "too much is being asked; try again in a second");
    return mux_verb_run(control->controls->relay, request);
}

// Answers the first whole line, if there is one.
static bool answer_line(Control *control)
{
    GByteArray *request = control->request;
    const guint8 *end = request->len ? memchr(request->data, '\n', request->len) : NULL;
    g_autoptr(GError) error = NULL;

    if (!end)
        return false;
    guint length = (guint)(end - request->data);
    json_object *object = mux_json_parse((const char *)request->data, length, &error);
    put_answer(control, answer(control, object, error));
    json_object_put(object);
    g_byte_array_remove_range(request, 0, length + 1);
    return true;
}

// False when the connection is gone, or said too much.
static bool read_request(Control *control)
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

// Reads only when nothing is left to be answered, so that what was asked is neither lost nor piles
// up. False when the connection is gone.
static bool step(Control *control)
{
    if (!write_answer(control))
        return false;
    while (control->answer.size == 0 && answer_line(control))
        if (!write_answer(control))
            return false;
    return control->answer.size > 0 || read_request(control);
}

static void on_control(MuxWatch *watch)
{
    Control *control = mux_container(watch, Control, watch);

    if (step(control))
        mux_watch_want(watch, control->answer.size > 0 ? EPOLLOUT | EPOLLHUP : EPOLLIN | EPOLLHUP);
    else
        control_free(control);
}

static bool has_room(const MuxControls *controls, uid_t uid)
{
    unsigned of_user = 0;

    for (const MuxList *node = controls->list.next; node != &controls->list; node = node->next)
        of_user += mux_container(node, const Control, node)->uid == uid;
    return controls->count < CONTROLS_MAX && of_user < OF_ONE_USER;
}

void mux_control_add(MuxControls *controls, int fd, bool answers)
{
    uid_t uid = mux_address_user(fd);

    if (!has_room(controls, uid)) {
        mux_greeting_refuse(fd, answers, MUX_CODE_LIMIT, "@control",
                            "too many control connections are open");
        close(fd);
        return;
    }
    Control *control = g_new0(Control, 1);
    control->uid = uid;
    control->controls = controls;
    control->request = g_byte_array_new();
    mux_watch_init(&control->watch);
    mux_list_init(&control->node);
    mux_list_append(&controls->list, &control->node);
    controls->count++;
    if (mux_watch_start(&control->watch, controls->relay->loop, fd, EPOLLIN | EPOLLHUP,
                        on_control) < 0) {
        close(fd);
        control_free(control);
        return;
    }
    if (answers) {
        mux_backlog_append(&control->answer, "OK\n", 3);
        controls->held += 3;
    }
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
        control_free(mux_container(first, Control, node));
    g_free(controls);
    return NULL;
}
