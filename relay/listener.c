// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who controls the path's folder could put something there; so nothing is removed but a socket that
// refuses connections, and at the end only the very one that was made here.

#include "listener.h"

#include <errno.h>
#include <gio/gio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"

#define BACKLOG 4096

static bool complain(GError **error, const char *path, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot listen on %s: %s", path, what);
    return false;
}

// Makes way for a new socket, or says why not.
static bool clear_path(const char *path, const MuxAddress *address, GError **error)
{
    struct stat st;
    int fd = -1;

    if (lstat(path, &st) < 0)
        return errno == ENOENT || complain(error, path, g_strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return complain(error, path, "there is something that is not a socket; move it away");

    int r = mux_address_connect(address, &fd);
    if (fd >= 0)
        close(fd);
    if (r != -ECONNREFUSED)
        return complain(error, path, "something listens there already; stop it first");
    return unlink(path) == 0 || complain(error, path, g_strerror(errno));
}

static int bind_socket(const MuxAddress *address, mode_t mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    // The mode comes from the umask, so there is no moment with a wrong one and no path to race
    // for.
    mode_t before = umask(~mode & 0777);
    int r = bind(fd, (const struct sockaddr *)&address->storage, address->length);
    umask(before);
    if (r == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

void mux_listener_init(MuxListener *listener)
{
    *listener = (MuxListener){0};
    mux_watch_init(&listener->watch);
}

bool mux_listener_open(MuxListener *listener, MuxLoop *loop, const char *path, mode_t mode,
                       void (*fn)(MuxWatch *watch), GError **error)
{
    MuxAddress address;
    struct stat st;

    if (!mux_address_unix(path, &address, error) || !clear_path(path, &address, error))
        return false;
    int fd = bind_socket(&address, mode);
    int r = fd < 0 ? fd : mux_watch_start(&listener->watch, loop, fd, EPOLLIN, fn);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return complain(error, path, g_strerror(-r));
    }
    listener->path = g_strdup(path);
    if (lstat(path, &st) == 0) {
        listener->dev = st.st_dev;
        listener->ino = st.st_ino;
    }
    return true;
}

void mux_listener_close(MuxListener *listener)
{
    struct stat st;

    if (listener->watch.fd >= 0 && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino)
        (void)unlink(listener->path);
    mux_watch_close(&listener->watch);
    g_clear_pointer(&listener->path, g_free);
}

int mux_listener_accept(MuxListener *listener)
{
    // cppcheck-suppress nullPointer ; who connects is not of interest, and need not be told
    int fd = accept4(listener->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == EAGAIN)
        mux_watch_drained(&listener->watch, EPOLLIN);
    return -errno;
}
