// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Three kinds, one life: CLOSED until it can be opened (tried again on a timer, or when a device
// appears or somebody connects), WAITING while a device is open and the host has not connected, UP.
//
// A virtio-serial device without a host reports EPOLLHUP for ever; edge-triggered, that is once,
// and the host's connecting is the next edge. It stays open meanwhile, since a second open() gives
// EBUSY. All other failures close it and open it again after RETRY_MS.

#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "listener.h"
#include "pass.h"
#include "sources.h"

#define CLOSED   "closed by the other end"
#define RETRY_MS 250 // one connect() on a path that is not there costs microseconds

typedef enum PortKind { PORT_DEVICE, PORT_CONNECT, PORT_LISTEN } PortKind;
typedef enum PortState { PORT_CLOSED, PORT_WAITING, PORT_UP } PortState;

struct MuxPort {
    PortKind kind;
    PortState state;
    MuxLoop *loop;
    MuxWatch watch;       // the pipe
    MuxListener listener; // PORT_LISTEN: where it comes from
    MuxJob failing;       // `down` is due
    char *what;           // for the log
    char *spec;
    char *path;   // of the device or socket; NULL for a device that is not there
    char *detail; // why it is not up
    guint retry;  // GLib source, or 0
    const MuxPortEvents *events;
    void *user;
};

static void try_open(MuxPort *port);

static gboolean on_retry(gpointer user)
{
    MuxPort *port = user;

    port->retry = 0;
    if (port->kind == PORT_LISTEN)
        mux_watch_want(&port->listener.watch, EPOLLIN);
    else
        try_open(port);
    return G_SOURCE_REMOVE;
}

static void cancel_retry(MuxPort *port)
{
    if (port->retry)
        g_source_remove(port->retry);
    port->retry = 0;
}

// Opens it again later; says so once, not at every try.
static void retry_later(MuxPort *port, const char *detail)
{
    if (g_strcmp0(port->detail, detail) != 0) {
        g_free(port->detail);
        port->detail = g_strdup(detail);
        g_info("%s %s: %s", port->what, mux_port_spec(port), detail);
    }
    if (!port->retry && port->path)
        port->retry = mux_source_timeout(RETRY_MS, on_retry, port);
}

static void set_detail(MuxPort *port, const char *detail)
{
    g_free(port->detail);
    port->detail = g_strdup(detail);
}

static void go_up(MuxPort *port)
{
    port->state = PORT_UP;
    set_detail(port, NULL);
    mux_watch_want(&port->watch, EPOLLIN | EPOLLHUP);
    port->events->up(port->user);
}

static void go_down(MuxPort *port, PortState next, const char *why)
{
    PortState before = port->state;

    mux_job_cancel(&port->failing);
    if (next == PORT_CLOSED)
        mux_watch_close(&port->watch);
    port->state = next;
    if (before == PORT_UP)
        port->events->down(port->user, why);
    if (next == PORT_CLOSED)
        retry_later(port, why);
    else
        set_detail(port, why);
    if (port->kind == PORT_LISTEN)
        mux_watch_want(&port->listener.watch, EPOLLIN);
}

static void on_failing(MuxJob *job)
{
    MuxPort *port = mux_container(job, MuxPort, failing);
    go_down(port, PORT_CLOSED, port->detail ? port->detail : CLOSED);
}

static void fail(MuxPort *port, const char *why)
{
    set_detail(port, why);
    mux_watch_want(&port->watch, 0);
    mux_loop_defer(port->loop, &port->failing);
}

// A device's hang-up: the host is not there, or the device is not there any more.
static void hang_up(MuxPort *port)
{
    char byte;

    if (read(port->watch.fd, &byte, 1) < 0 && errno == ENODEV) {
        go_down(port, PORT_CLOSED, "the device was unplugged");
        return;
    }
    go_down(port, PORT_WAITING, "no host is connected to the port");
    mux_watch_drained(&port->watch, ~0u);
    mux_watch_want(&port->watch, EPOLLIN | EPOLLOUT | EPOLLHUP);
}

static void on_pipe(MuxWatch *watch)
{
    MuxPort *port = mux_container(watch, MuxPort, watch);

    if (port->kind == PORT_DEVICE && watch->ready & EPOLLHUP) {
        hang_up(port);
        return;
    }
    if (port->state == PORT_WAITING) {
        go_up(port);
        return;
    }
    if (watch->ready & EPOLLOUT)
        mux_watch_want(watch, EPOLLIN | EPOLLHUP);
    // A socket's hang-up is found by reading: what was sent before it must still be taken.
    port->events->ready(port->user);
}

// A retry that is still due would open a second pipe beside this one.
static void adopt(MuxPort *port, int fd)
{
    cancel_retry(port);
    int r = mux_watch_start(&port->watch, port->loop, fd, EPOLLIN | EPOLLOUT | EPOLLHUP, on_pipe);
    if (r < 0) {
        close(fd);
        retry_later(port, g_strerror(-r));
        return;
    }
    port->watch.last = true;
    port->state = PORT_WAITING;
}

static void on_listener(MuxWatch *watch)
{
    MuxPort *port = mux_container(watch, MuxPort, listener.watch);
    int fd = mux_listener_accept(&port->listener);

    if (fd < 0 && fd != -EAGAIN) { // no descriptor, or no memory: who waits, waits
        mux_watch_want(watch, 0);
        retry_later(port, g_strerror(-fd));
    }
    if (fd < 0)
        return;
    // A second one waits in the queue until this one is gone.
    mux_watch_want(watch, 0);
    adopt(port, fd);
}

static int open_device(const char *path, const char **ret_why)
{
    struct stat st;

    if (stat(path, &st) == 0 && !S_ISCHR(st.st_mode)) {
        *ret_why = "it is not a character device (a socket is unix:PATH)";
        return -1;
    }
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    *ret_why = fd >= 0          ? NULL
               : errno == EBUSY ? "another program has the device open"
                                : g_strerror(errno);
    return fd;
}

static int open_socket(const char *path, const char **ret_why)
{
    MuxAddress address;
    int fd = -1;
    int r = mux_address_unix(path, &address, NULL) ? mux_address_connect(&address, &fd) : -EINVAL;

    *ret_why = r == 0 ? NULL : r < 0 ? g_strerror(-r) : g_strerror(EAGAIN);
    return fd;
}

static void try_open(MuxPort *port)
{
    const char *why;
    int fd =
        port->kind == PORT_DEVICE ? open_device(port->path, &why) : open_socket(port->path, &why);

    if (fd < 0)
        retry_later(port, why);
    else
        adopt(port, fd);
}

MuxPort *mux_port_new(MuxLoop *loop, const char *what, const char *spec,
                      const MuxPortEvents *events, void *user, GError **error)
{
    MuxPort *port = g_new0(MuxPort, 1);
    MuxAddress address;

    port->loop = loop;
    port->events = events;
    port->user = user;
    port->what = g_strdup(what);
    port->spec = g_strdup(spec ? spec : "(found by name)");
    mux_watch_init(&port->watch);
    mux_listener_init(&port->listener);
    mux_job_init(&port->failing, on_failing);

    const MuxAccess access = MUX_ACCESS(0600);
    bool listen = spec && g_str_has_prefix(spec, "listen:");
    bool connect = spec && g_str_has_prefix(spec, "unix:");
    port->kind = listen ? PORT_LISTEN : connect ? PORT_CONNECT : PORT_DEVICE;
    if (spec)
        port->path = g_strdup(listen || connect ? strchr(spec, ':') + 1 : spec);
    if ((listen || connect) && !mux_address_unix(port->path, &address, error))
        return mux_port_free(port);
    if (listen &&
        !mux_listener_open(&port->listener, loop, port->path, &access, on_listener, error))
        return mux_port_free(port);
    if (listen)
        set_detail(port, "nobody has connected");
    if (!listen && spec)
        port->retry = mux_source_idle(on_retry, port);
    return port;
}

MuxPort *mux_port_free(MuxPort *port)
{
    if (!port)
        return NULL;
    mux_job_cancel(&port->failing);
    cancel_retry(port);
    mux_watch_close(&port->watch);
    mux_listener_close(&port->listener);
    g_free(port->what);
    g_free(port->spec);
    g_free(port->path);
    g_free(port->detail);
    g_free(port);
    return NULL;
}

void mux_port_set_device(MuxPort *port, const char *path)
{
    if (g_strcmp0(port->path, path) == 0)
        return;
    bool had_one = port->path;
    cancel_retry(port);
    g_free(port->path);
    port->path = g_strdup(path);
    if (had_one)
        go_down(port, PORT_CLOSED, "the device was unplugged");
    if (path)
        try_open(port);
}

const char *mux_port_spec(const MuxPort *port)
{
    return port->kind == PORT_DEVICE && port->path ? port->path : port->spec;
}

const char *mux_port_state(const MuxPort *port)
{
    if (port->state == PORT_UP)
        return "connected";
    return port->detail ? port->detail : "not opened yet";
}

size_t mux_port_read(MuxPort *port, void *base, size_t size)
{
    if (port->state != PORT_UP || !(port->watch.ready & (EPOLLIN | EPOLLHUP)))
        return 0;

    ssize_t n = read(port->watch.fd, base, size);
    if (n > 0) {
        // A device gives one of its buffers a read, whatever is there. A socket that gives less
        // than was asked for is empty, unless its end is behind that.
        if (port->kind != PORT_DEVICE && (size_t)n < size &&
            !(port->watch.ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            mux_watch_drained(&port->watch, EPOLLIN);
        return (size_t)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        mux_watch_drained(&port->watch, EPOLLIN);
    else if (port->kind != PORT_DEVICE) // reset: it had not read all of ours before
        fail(port, n == 0 || errno == ECONNRESET ? CLOSED : g_strerror(errno));
    else // the hang-up is on its way as an event
        mux_watch_drained(&port->watch, EPOLLIN);
    return 0;
}

bool mux_port_is_up(const MuxPort *port)
{
    return port->state == PORT_UP;
}

static ssize_t write_pipe(MuxPort *port, const void *base, size_t size, int fd)
{
    if (port->kind == PORT_DEVICE)
        return write(port->watch.fd, base, size);
    if (fd < 0)
        return send(port->watch.fd, base, size, MSG_NOSIGNAL);
    return mux_pass(port->watch.fd, &(struct iovec){(void *)base, size}, 1, fd);
}

size_t mux_port_write(MuxPort *port, const void *base, size_t size)
{
    return mux_port_write_fd(port, base, size, -1);
}

size_t mux_port_write_fd(MuxPort *port, const void *base, size_t size, int fd)
{
    if (port->state != PORT_UP || !(port->watch.ready & EPOLLOUT))
        return 0;

    ssize_t n = write_pipe(port, base, size, fd);
    if (n > 0)
        return (size_t)n;
    mux_watch_drained(&port->watch, EPOLLOUT);
    mux_watch_want(&port->watch, EPOLLIN | EPOLLOUT | EPOLLHUP);
    // A failure of a socket shows when it is read: what it sent before it closed must be taken.
    return 0;
}
