// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Folders are opened one by one, and no symlink is followed: somebody else may own one of them.
// Only symlinks are removed, and folders that are empty.

#include "nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM "shm"

struct MuxNodes {
    char *folder;
    GHashTable *all; // "VM/NAME" to the target
};

static int open_folder(int at, const char *name, bool make)
{
    if (make && mkdirat(at, name, 0755) < 0 && errno != EEXIST)
        return -1;
    return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// Descriptors of the folders; -1 where one cannot be had.
typedef struct Folders {
    int run, vm, shm;
} Folders;

static Folders open_folders(const MuxNodes *nodes, const char *vm, bool make)
{
    Folders f = {.vm = -1, .shm = -1};

    f.run = open_folder(AT_FDCWD, nodes->folder, make);
    if (f.run >= 0)
        f.vm = open_folder(f.run, vm, make);
    if (f.vm >= 0)
        f.shm = open_folder(f.vm, SHM, make);
    return f;
}

// Takes away those of the VM that are empty now.
static void close_folders(const char *vm, const Folders *f)
{
    int before = errno;

    if (f->shm >= 0 && unlinkat(f->vm, SHM, AT_REMOVEDIR) == 0)
        (void)unlinkat(f->run, vm, AT_REMOVEDIR);
    for (size_t i = 0; i < 3; i++) {
        int fd = i == 0 ? f->shm : i == 1 ? f->vm : f->run;
        if (fd >= 0)
            close(fd);
    }
    errno = before;
}

static bool is_plain(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           !strchr(name, '/');
}

static bool remove_link(int folder, const char *name)
{
    struct stat st;

    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) &&
           unlinkat(folder, name, 0) == 0;
}

// --- one

void mux_nodes_add(MuxNodes *nodes, const char *vm, const char *name, int fd)
{
    g_autofree char *target = g_strdup_printf("/proc/%d/fd/%d", getpid(), fd);

    if (!nodes || !is_plain(vm) || !is_plain(name))
        return;
    Folders f = open_folders(nodes, vm, true);
    errno = f.shm < 0 ? errno : 0;
    if (f.shm >= 0)
        (void)remove_link(f.shm, name);
    if (f.shm >= 0 && symlinkat(target, f.shm, name) == 0)
        g_hash_table_replace(nodes->all, g_strconcat(vm, "/", name, NULL),
                             g_steal_pointer(&target));
    else
        g_warning("%s/%s/" SHM "/%s cannot be made: %s", nodes->folder, vm, name,
                  g_strerror(errno));
    close_folders(vm, &f);
}

void mux_nodes_remove(MuxNodes *nodes, const char *vm, const char *name, int fd)
{
    g_autofree char *key = g_strconcat(vm, "/", name, NULL);
    g_autofree char *target = g_strdup_printf("/proc/%d/fd/%d", getpid(), fd);

    if (!nodes || g_strcmp0(g_hash_table_lookup(nodes->all, key), target) != 0)
        return;
    Folders f = open_folders(nodes, vm, false);
    if (f.shm >= 0)
        (void)remove_link(f.shm, name);
    close_folders(vm, &f);
    g_hash_table_remove(nodes->all, key);
}

char *mux_nodes_path(const MuxNodes *nodes, const char *vm, const char *name)
{
    g_autofree char *key = g_strconcat(vm, "/", name, NULL);

    return nodes && g_hash_table_contains(nodes->all, key)
               ? g_build_filename(nodes->folder, vm, SHM, name, NULL)
               : NULL;
}

// --- all of them

static void sweep_vm(const MuxNodes *nodes, const char *vm)
{
    Folders f = open_folders(nodes, vm, false);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", f.shm);
    g_autoptr(GDir) dir = f.shm >= 0 ? g_dir_open(path, 0, NULL) : NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        (void)remove_link(f.shm, name);
    close_folders(vm, &f);
}

static void sweep(const MuxNodes *nodes)
{
    g_autoptr(GDir) dir = g_dir_open(nodes->folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        sweep_vm(nodes, name);
}

MuxNodes *mux_nodes_new(const char *folder)
{
    if (!folder)
        return NULL;
    MuxNodes *nodes = g_new0(MuxNodes, 1);
    nodes->folder = g_strdup(folder);
    nodes->all = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    sweep(nodes);
    return nodes;
}

MuxNodes *mux_nodes_free(MuxNodes *nodes)
{
    GHashTableIter iter;
    gpointer key;

    if (!nodes)
        return NULL;
    g_hash_table_iter_init(&iter, nodes->all);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_auto(GStrv) parts = g_strsplit(key, "/", 2);
        Folders f = open_folders(nodes, parts[0], false);
        if (f.shm >= 0)
            (void)remove_link(f.shm, parts[1]);
        close_folders(parts[0], &f);
    }
    g_hash_table_unref(nodes->all);
    g_free(nodes->folder);
    g_free(nodes);
    return NULL;
}

const char *mux_nodes_folder(const MuxNodes *nodes)
{
    return nodes ? nodes->folder : NULL;
}
