// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The connection is a port's, which opens itself again. On it there is a greeting, then a command
// for the capabilities, then ours: one is under way, the others wait. A line is an answer to it, or
// an event. Whatever goes wrong ends the connection, and another is made after a while: then who
// uses this looks at what there is, instead of guessing what was still done.

#include "qmp.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "relay/json.h"
#include "relay/port.h"
#include "relay/sources.h"

#define LINE_MAX_BYTES   (1 << 20) // a full machine's query-pci has 100 KiB
#define DEPTH            64        // query-pci nests with each bridge
#define READ_BYTES       16384
#define READS_A_TURN     16
#define ANSWER_TIME_MS   10000
#define GREETING_TIME_MS 3000
#define AGAIN_MS         1000
#define SHOWN_MAX        200 // bytes of an error

typedef enum QmpState {
    QMP_CLOSED,   // until the port is up
    QMP_GREETING, // nothing was said
    QMP_CAPABILITIES,
    QMP_UP,
    QMP_BROKEN, // `breaking` is due
} QmpState;

typedef struct Command {
    char *name;
    json_object *arguments;
    int fd; // ours, or -1
    MuxQmpDone *done;
    void *user;
} Command;

struct MuxQmp {
    MuxLoop *loop;
    char *what; // for the log
    char *spec;
    const MuxQmpEvents *events;
    void *user;
    QmpState state;
    MuxPort *port;   // NULL until `timer` makes it
    GQueue commands; // the first one is under way when `busy`
    bool busy;
    bool told;       // that it is up
    uint64_t id;     // of the command that is under way
    GByteArray *in;  // a line that has not ended yet
    GByteArray *out; // what is left of the command that is under way
    char *why;       // it is not connected
    guint timer;     // an answer's time, or the time until the next try
    MuxJob breaking;
    MuxJob pump; // there may be something to be given
};

static void command_free(Command *command)
{
    if (command->fd >= 0)
        close(command->fd);
    json_object_put(command->arguments);
    g_free(command->name);
    g_free(command);
}

static void set_timer(MuxQmp *qmp, guint ms, GSourceFunc fn)
{
    if (qmp->timer)
        g_source_remove(qmp->timer);
    qmp->timer = ms ? mux_source_timeout(ms, fn, qmp) : 0;
}

// Ends the connection at the end of the turn: not while its port is being used.
static void break_off(MuxQmp *qmp, const char *why)
{
    if (g_strcmp0(qmp->why, why) != 0)
        g_warning("%s %s: %s", qmp->what, qmp->spec, why);
    g_free(qmp->why);
    qmp->why = g_strdup(why);
    qmp->state = QMP_BROKEN;
    mux_loop_defer(qmp->loop, &qmp->breaking);
}

static gboolean on_late(gpointer user)
{
    MuxQmp *qmp = user;

    qmp->timer = 0;
    break_off(qmp, qmp->state == QMP_GREETING
                       ? "QEMU does not greet: is another program connected to it? It serves "
                         "one at a time; give it a second -qmp"
                       : "no answer came in time");
    return G_SOURCE_REMOVE;
}

// --- what goes

static json_object *make_request(MuxQmp *qmp, const char *name, json_object *arguments)
{
    json_object *request = json_object_new_object();

    json_object_object_add(request, "execute", json_object_new_string(name));
    if (arguments)
        json_object_object_add(request, "arguments", json_object_get(arguments));
    // An answer that comes too late is not taken for this one's.
    json_object_object_add(request, "id", json_object_new_int64((int64_t)++qmp->id));
    return request;
}

static void begin(MuxQmp *qmp, const char *name, json_object *arguments)
{
    json_object *request = make_request(qmp, name, arguments);
    const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE);

    g_byte_array_append(qmp->out, (const guint8 *)text, (guint)strlen(text));
    g_byte_array_append(qmp->out, (const guint8 *)"\n", 1);
    json_object_put(request);
    set_timer(qmp, ANSWER_TIME_MS, on_late);
}

// A descriptor goes with the first byte, and is closed then.
static size_t write_some(MuxQmp *qmp)
{
    Command *command = qmp->busy ? g_queue_peek_head(&qmp->commands) : NULL;
    int fd = command ? command->fd : -1;
    size_t n = mux_port_write_fd(qmp->port, qmp->out->data, qmp->out->len, fd);

    if (n > 0 && fd >= 0) {
        close(fd);
        command->fd = -1;
    }
    return n;
}

static void pump(MuxQmp *qmp)
{
    const Command *next = g_queue_peek_head(&qmp->commands);
    size_t n;

    if (qmp->state == QMP_UP && !qmp->busy && next) {
        qmp->busy = true;
        begin(qmp, next->name, next->arguments);
    }
    while (qmp->out->len > 0 && (n = write_some(qmp)) > 0)
        g_byte_array_remove_range(qmp->out, 0, (guint)n);
}

// Those that are given meanwhile fail later.
static void fail_all(MuxQmp *qmp)
{
    MuxQmpError error = {.lost = true, .text = (char *)"QEMU's QMP is not connected"};

    for (guint n = g_queue_get_length(&qmp->commands); n > 0; n--) {
        Command *command = g_queue_pop_head(&qmp->commands);
        if (command->done)
            command->done(command->user, NULL, &error);
        command_free(command);
    }
}

static void on_pump(MuxJob *job)
{
    MuxQmp *qmp = mux_container(job, MuxQmp, pump);

    if (qmp->state == QMP_UP)
        pump(qmp);
    else
        fail_all(qmp);
}

// --- what comes

static const char *text_of(json_object *object, const char *key)
{
    json_object *value;
    return object && json_object_object_get_ex(object, key, &value) && mux_json_is_text(value)
               ? json_object_get_string(value)
               : "";
}

static char *make_shown(const char *untrusted_text)
{
    char *shown = g_strndup(untrusted_text, SHOWN_MAX);

    for (char *c = shown; *c; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return shown;
}

static void answered(MuxQmp *qmp, json_object *answer, json_object *untrusted_error)
{
    g_autofree char *text = NULL;
    MuxQmpError error = {0};
    Command *command = g_queue_pop_head(&qmp->commands);

    if (untrusted_error) {
        text = make_shown(text_of(untrusted_error, "desc"));
        error.text = text;
        error.not_found = strcmp(text_of(untrusted_error, "class"), "DeviceNotFound") == 0;
    }
    qmp->busy = false;
    set_timer(qmp, 0, NULL);
    mux_loop_defer(qmp->loop, &qmp->pump);
    if (command->done)
        command->done(command->user, untrusted_error ? NULL : answer,
                      untrusted_error ? &error : NULL);
    command_free(command);
}

static void take_answer(MuxQmp *qmp, json_object *line)
{
    json_object *id, *answer = NULL, *error = NULL;

    bool failed = json_object_object_get_ex(line, "error", &error);
    if (!failed && !json_object_object_get_ex(line, "return", &answer))
        return; // of a later version
    if (!json_object_object_get_ex(line, "id", &id) ||
        json_object_get_int64(id) != (int64_t)qmp->id)
        return;
    if (qmp->state == QMP_CAPABILITIES) {
        set_timer(qmp, 0, NULL);
        if (failed) {
            break_off(qmp, "it does not take commands");
            return;
        }
        qmp->state = QMP_UP;
        g_clear_pointer(&qmp->why, g_free);
        qmp->told = true;
        mux_loop_defer(qmp->loop, &qmp->pump);
        qmp->events->up(qmp->user);
    } else if (qmp->busy) {
        answered(qmp, answer, error);
    }
}

static void take_object(MuxQmp *qmp, json_object *line)
{
    json_object *data = NULL;
    const char *event = text_of(line, "event");

    if (qmp->state == QMP_GREETING) {
        if (!json_object_object_get_ex(line, "QMP", &data)) {
            break_off(qmp, "this is no QMP");
            return;
        }
        qmp->state = QMP_CAPABILITIES;
        begin(qmp, "qmp_capabilities", NULL);
        pump(qmp);
    } else if (*event) {
        (void)json_object_object_get_ex(line, "data", &data);
        if (qmp->state == QMP_UP)
            qmp->events->event(qmp->user, event, data);
    } else {
        take_answer(qmp, line);
    }
}

static json_object *parse(const guint8 *text, guint length)
{
    json_tokener *tokener = json_tokener_new_ex(DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    json_object *object = json_tokener_parse_ex(tokener, (const char *)text, (int)length);

    json_tokener_free(tokener);
    if (json_object_is_type(object, json_type_object))
        return object;
    json_object_put(object);
    return NULL;
}

static void take_line(MuxQmp *qmp, guint length)
{
    json_object *line = parse(qmp->in->data, length);

    // Taken off first: what it brings about may end the connection.
    g_byte_array_remove_range(qmp->in, 0, length + 1);
    if (line)
        take_object(qmp, line);
    else
        break_off(qmp, "what it says is no QMP");
    json_object_put(line);
}

static void take_lines(MuxQmp *qmp)
{
    const guint8 *end;

    while (qmp->state != QMP_BROKEN && qmp->in->len > 0 &&
           (end = memchr(qmp->in->data, '\n', qmp->in->len)))
        take_line(qmp, (guint)(end - qmp->in->data));
    if (qmp->state != QMP_BROKEN && qmp->in->len > LINE_MAX_BYTES)
        break_off(qmp, "it says a line without an end");
}

// --- its port

static void on_ready(void *user)
{
    MuxQmp *qmp = user;
    guint8 buffer[READ_BYTES];
    size_t n;

    for (int i = 0; i < READS_A_TURN && qmp->state != QMP_BROKEN; i++) {
        if ((n = mux_port_read(qmp->port, buffer, sizeof(buffer))) == 0)
            break;
        g_byte_array_append(qmp->in, buffer, (guint)n);
        take_lines(qmp);
    }
    if (qmp->state != QMP_BROKEN)
        pump(qmp);
}

static void on_up(void *user)
{
    MuxQmp *qmp = user;

    qmp->state = QMP_GREETING;
    set_timer(qmp, GREETING_TIME_MS, on_late);
}

// The connection is gone, whoever ended it.
static void lose(MuxQmp *qmp)
{
    bool told = qmp->told;

    qmp->state = QMP_CLOSED;
    qmp->busy = qmp->told = false;
    set_timer(qmp, 0, NULL);
    g_byte_array_set_size(qmp->in, 0);
    g_byte_array_set_size(qmp->out, 0);
    fail_all(qmp);
    if (told)
        qmp->events->down(qmp->user);
}

static void on_down(void *user, const char *why)
{
    MuxQmp *qmp = user;

    (void)why;
    mux_job_cancel(&qmp->breaking);
    lose(qmp);
}

static bool open_port(MuxQmp *qmp, GError **error)
{
    static const MuxPortEvents port_events = {on_up, on_down, on_ready};

    qmp->port = mux_port_new(qmp->loop, qmp->what, qmp->spec, &port_events, qmp, error);
    return qmp->port != NULL;
}

static gboolean on_again(gpointer user)
{
    MuxQmp *qmp = user;

    qmp->timer = 0;
    (void)open_port(qmp, NULL);
    return G_SOURCE_REMOVE;
}

static void on_breaking(MuxJob *job)
{
    MuxQmp *qmp = mux_container(job, MuxQmp, breaking);

    qmp->port = mux_port_free(qmp->port);
    lose(qmp);
    set_timer(qmp, AGAIN_MS, on_again);
}

// --- its life

MuxQmp *mux_qmp_new(MuxLoop *loop, const char *vm, const char *spec, const MuxQmpEvents *events,
                    void *user, GError **error)
{
    MuxQmp *qmp = g_new0(MuxQmp, 1);

    qmp->loop = loop;
    qmp->what = g_strdup_printf("link %s: QMP", vm);
    qmp->spec = g_strdup(spec);
    qmp->events = events;
    qmp->user = user;
    qmp->in = g_byte_array_new();
    qmp->out = g_byte_array_new();
    g_queue_init(&qmp->commands);
    mux_job_init(&qmp->breaking, on_breaking);
    mux_job_init(&qmp->pump, on_pump);
    return open_port(qmp, error) ? qmp : mux_qmp_free(qmp);
}

MuxQmp *mux_qmp_free(MuxQmp *qmp)
{
    if (!qmp)
        return NULL;
    mux_job_cancel(&qmp->breaking);
    mux_job_cancel(&qmp->pump);
    set_timer(qmp, 0, NULL);
    mux_port_free(qmp->port);
    g_queue_clear_full(&qmp->commands, (GDestroyNotify)command_free);
    g_byte_array_unref(qmp->in);
    g_byte_array_unref(qmp->out);
    g_free(qmp->why);
    g_free(qmp->what);
    g_free(qmp->spec);
    g_free(qmp);
    return NULL;
}

bool mux_qmp_is_up(const MuxQmp *qmp)
{
    return qmp->state == QMP_UP;
}

const char *mux_qmp_state(const MuxQmp *qmp)
{
    if (qmp->state == QMP_UP)
        return "connected";
    if (qmp->why)
        return qmp->why;
    return !qmp->port                       ? "not connected"
           : qmp->state == QMP_GREETING     ? "no greeting yet"
           : qmp->state == QMP_CAPABILITIES ? "no greeting yet"
                                            : mux_port_state(qmp->port);
}

void mux_qmp_execute(MuxQmp *qmp, const char *command, json_object *arguments, int fd,
                     MuxQmpDone *done, void *user)
{
    Command *new = g_new0(Command, 1);

    new->name = g_strdup(command);
    new->arguments = arguments;
    new->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    new->done = done;
    new->user = user;
    g_queue_push_tail(&qmp->commands, new);
    mux_loop_defer(qmp->loop, &qmp->pump);
}

void mux_qmp_cancel(MuxQmp *qmp, const void *user)
{
    for (GList *item = qmp->commands.head; item; item = item->next) {
        Command *command = item->data;
        if (command->user == user)
            command->done = NULL;
    }
}
