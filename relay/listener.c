// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who controls the path's folder could put something there; so nothing is removed but a socket that
// refuses connections, and at the end only the very one that was made here.

#include "listener.h"

#include <errno.h>
#include <fcntl.h>
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

// Opens what we bound, without following a link: what is done to it cannot hit anything else,
// whatever happens to the path meanwhile. The descriptor, or a negative errno.
static int open_file(const char *path, struct stat *ret_st)
{
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, ret_st) == 0 && S_ISSOCK(ret_st->st_mode) && ret_st->st_nlink == 1)
        return fd;
    close(fd);
    return -ESTALE;
}

// -1: as it is.
static int set_owner(int file, uid_t uid, gid_t gid)
{
    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return 0;
    return fchownat(file, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

// Remembers which file is ours.
static int claim_file(MuxListener *listener, const char *path, const MuxAccess *access)
{
    struct stat st = {0};
    int file = open_file(path, &st);

    if (file < 0)
        return file;
    listener->dev = st.st_dev;
    listener->ino = st.st_ino;
    listener->path = g_strdup(path);
    int r = set_owner(file, access->uid, access->gid);
    close(file);
    return r;
}

// Before listen(), nobody can connect.
static int bind_socket(MuxListener *listener, const char *path, const MuxAddress *address,
                       const MuxAccess *access)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    mux_address_refuse_descriptors(fd); // those who connect inherit it

    // The mode comes from the umask, so there is no moment with a wrong one and no path to race
    // for.
    mode_t before = umask(~access->mode & 0777);
    int r = bind(fd, (const struct sockaddr *)&address->storage, address->length) < 0 ? -errno : 0;
    umask(before);
    if (r == 0)
        r = claim_file(listener, path, access);
    if (r == 0 && listen(fd, BACKLOG) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

void mux_listener_init(MuxListener *listener)
{
    *listener = (MuxListener){0};
    mux_watch_init(&listener->watch);
}

bool mux_listener_open(MuxListener *listener, MuxLoop *loop, const char *path,
                       const MuxAccess *access, void (*fn)(MuxWatch *watch), GError **error)
{
    MuxAddress address;

    if (!mux_address_unix(path, &address, error) || !clear_path(path, &address, error))
        return false;
    int fd = bind_socket(listener, path, &address, access);
    int r = fd < 0 ? fd : mux_watch_start(&listener->watch, loop, fd, EPOLLIN, fn);
    if (r == 0)
        return true;
    if (fd >= 0)
        close(fd);
    mux_listener_close(listener);
    return complain(error, path, g_strerror(-r));
}

bool mux_listener_is_there(const MuxListener *listener)
{
    struct stat st;

    return listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
           st.st_ino == listener->ino;
}

// fchmod() does not take such a descriptor.
static int set_mode(int file, mode_t mode)
{
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", file);
    return chmod(self, mode) < 0 ? -errno : 0;
}

// Nobody comes in while it is half done. Only a file's owner may change its mode, unless he has
// more capabilities than this needs.
static int change_file(int file, const MuxAccess *access)
{
    uid_t uid = access->uid == (uid_t)-1 ? geteuid() : access->uid;
    gid_t gid = access->gid == (gid_t)-1 ? getegid() : access->gid;
    int r = set_owner(file, geteuid(), (gid_t)-1);

    if (r == 0)
        r = set_mode(file, 0);
    if (r == 0)
        r = set_owner(file, (uid_t)-1, gid);
    if (r == 0)
        r = set_mode(file, access->mode);
    return r == 0 ? set_owner(file, uid, (gid_t)-1) : r;
}

bool mux_listener_set_access(MuxListener *listener, const MuxAccess *access, GError **error)
{
    struct stat st = {0};
    int file = open_file(listener->path, &st);
    int r = MIN(file, 0);

    if (r == 0 && (st.st_dev != listener->dev || st.st_ino != listener->ino))
        r = -ESTALE;
    if (r == 0)
        r = change_file(file, access);
    if (file >= 0)
        close(file);
    return r == 0 || complain(error, listener->path, g_strerror(-r));
}

void mux_listener_close(MuxListener *listener)
{
    if (mux_listener_is_there(listener))
        (void)unlink(listener->path);
    mux_watch_close(&listener->watch);
    g_clear_pointer(&listener->path, g_free);
}

bool mux_listener_make_folder(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    mode_t before = umask(022);
    int r = mkdir(folder, 0755) < 0 ? -errno : 0;

    umask(before);
    return r == 0 || r == -EEXIST || complain(error, path, g_strerror(-r));
}

void mux_listener_turn_away(MuxListener *listener)
{
    // No more than can be waiting: whoever comes now is not meant.
    for (int i = 0; i <= BACKLOG; i++) {
        int fd = mux_listener_accept(listener);
        if (fd < 0)
            return;
        close(fd);
    }
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
