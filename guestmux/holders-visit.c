// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One process: what it has mapped, then what it has open. A process whose first thread has ended
// shows nothing of its memory in /proc/PID/maps; then one of the others does.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "holders-private.h"
#include "pci-path.h"

#define FILES_A_PIECE 64 // of its descriptors, between two looks at the clock

// --- what was found

static void name_process(const MuxHolders *holders, MuxSearch *search)
{
    int fd = openat(holders->process, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, search->program, sizeof(search->program) - 1);

    if (fd >= 0)
        close(fd);
    search->program[n > 0 ? n : 0] = '\0';
    search->pid = holders->pid;
    for (char *c = search->program; *c; c++) {
        if (*c == '\n')
            *c = '\0';
        else if (!g_ascii_isgraph(*c))
            *c = '?';
    }
}

static void count(const MuxHolders *holders, MuxSearch *search)
{
    if (search->last == holders->pid)
        return;
    search->last = holders->pid;
    if (search->holders++ == 0 && search->error == 0)
        name_process(holders, search);
}

static bool is_found(const MuxHolders *holders, const MuxSearch *search, const char *path,
                     dev_t device, ino_t inode)
{
    if (search->device)
        return mux_device_is(search->device, path, device, inode);
    return mux_devices_is_unplugged(holders->devices, path, device, inode);
}

// A path that looks like a device's proves nothing: anybody can make such a file somewhere.
static bool is_genuine(const MuxHolders *holders, const MuxMapping *mapping)
{
    char file[sizeof(holders->task) + sizeof("smaps")];

    if (!mux_pci_path_matters(mapping->path) || mapping->device == holders->sysfs)
        return true;
    (void)snprintf(file, sizeof(file), "%ssmaps", holders->task);
    return mux_maps_is_device(holders->process, file, mapping->range);
}

static void on_mapping(void *user, const MuxMapping *mapping)
{
    const MuxHolders *holders = user;

    for (MuxList *node = holders->current.next; node != &holders->current; node = node->next) {
        MuxSearch *search = mux_container(node, MuxSearch, node);
        if (is_found(holders, search, mapping->path, mapping->device, mapping->inode) &&
            is_genuine(holders, mapping))
            count(holders, search);
    }
}

void mux_holders_fail(const MuxHolders *holders, int error)
{
    for (MuxList *node = holders->current.next; node != &holders->current; node = node->next) {
        MuxSearch *search = mux_container(node, MuxSearch, node);
        if (search->error == 0 && holders->process >= 0)
            name_process(holders, search);
        search->error = error;
    }
}

// --- one process

// Something of a process could not be read. That is fine when it has ended; with other errors it is
// not known what it has.
static void trouble(const MuxHolders *holders, int error)
{
    bool denied = error == -EACCES || error == -EPERM;

    if (error != -ENOENT && error != -ESRCH && (holders->strict || !denied))
        mux_holders_fail(holders, denied ? -EACCES : error);
}

static DIR *open_folder(const MuxHolders *holders, const char *name)
{
    int fd = openat(holders->process, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (!folder)
        trouble(holders, -errno);
    if (!folder && fd >= 0)
        close(fd);
    return folder;
}

static DIR *close_folder(DIR *folder)
{
    if (folder)
        (void)closedir(folder);
    return NULL;
}

// The next name that is a number, or 0 at the end.
int mux_next_number(DIR *folder)
{
    const struct dirent *entry;

    // One thread, and each folder its own.
    // cppcheck-suppress readdirCalled
    while ((entry = readdir(folder))) {
        long number = strtol(entry->d_name, NULL, 10);
        if (number > 0 && number <= INT_MAX)
            return (int)number;
    }
    return 0;
}

void mux_visit_end(MuxHolders *holders)
{
    mux_maps_close(&holders->maps);
    holders->tasks = close_folder(holders->tasks);
    holders->files = close_folder(holders->files);
    if (holders->process >= 0)
        close(holders->process);
    holders->process = -1;
}

static void open_maps(MuxHolders *holders)
{
    char file[sizeof(holders->task) + sizeof("maps")];

    (void)snprintf(file, sizeof(file), "%smaps", holders->task);
    int r = mux_maps_open(&holders->maps, holders->process, file);
    if (r < 0)
        trouble(holders, r);
}

static bool looks_for_devices(const MuxHolders *holders)
{
    for (MuxList *node = holders->current.next; node != &holders->current; node = node->next)
        if (mux_container(node, MuxSearch, node)->device)
            return true;
    return false;
}

// Its memory was looked at. When there was none, it may be that of another thread.
static void after_maps(MuxHolders *holders)
{
    char file[sizeof(holders->task) + sizeof("fd")];

    if (!holders->maps.any && !holders->task[0]) {
        holders->tasks = open_folder(holders, "task");
        return;
    }
    if (!holders->maps.any && holders->tasks)
        return;
    holders->tasks = close_folder(holders->tasks);
    (void)snprintf(file, sizeof(file), "%sfd", holders->task);
    if (holders->strict && looks_for_devices(holders))
        holders->files = open_folder(holders, file);
}

static void look_at_maps(MuxHolders *holders)
{
    int r = mux_maps_read(&holders->maps, on_mapping, holders);

    if (r < 0)
        trouble(holders, r);
    if (r <= 0)
        after_maps(holders);
}

static void try_task(MuxHolders *holders)
{
    int tid = mux_next_number(holders->tasks);

    if (tid == 0) {
        holders->tasks = close_folder(holders->tasks);
    } else if (tid != holders->pid) {
        (void)snprintf(holders->task, sizeof(holders->task), "task/%d/", tid);
        open_maps(holders);
    }
}

// A file system may take its time to say what a file is, so only those in question are asked about.
static void look_at_file(const MuxHolders *holders, const char *name)
{
    int folder = dirfd(holders->files);
    char path[PATH_MAX];
    struct stat status;

    ssize_t n = readlinkat(folder, name, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    for (MuxList *node = holders->current.next; node != &holders->current; node = node->next) {
        MuxSearch *search = mux_container(node, MuxSearch, node);
        if (!search->device || (search->device->pci ? !mux_pci_path_matters(path)
                                                    : strcmp(path, search->device->path) != 0))
            continue;
        if (fstatat(folder, name, &status, 0) == 0 &&
            mux_device_is(search->device, path, status.st_dev, status.st_ino))
            count(holders, search);
    }
}

static void look_at_files(MuxHolders *holders)
{
    const struct dirent *entry;

    for (int i = 0; i < FILES_A_PIECE; i++) {
        // cppcheck-suppress readdirCalled
        entry = readdir(holders->files);
        if (!entry) {
            holders->files = close_folder(holders->files);
            return;
        }
        if (entry->d_name[0] != '.')
            look_at_file(holders, entry->d_name);
    }
}

// --- all of it

void mux_visit_begin(MuxHolders *holders, int pid)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "%d", pid);
    holders->pid = pid;
    holders->process = openat(dirfd(holders->proc), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    holders->task[0] = '\0';
    if (holders->process < 0) {
        trouble(holders, -errno);
        return;
    }
    open_maps(holders);
    if (holders->maps.fd < 0)
        after_maps(holders);
}

bool mux_visit_step(MuxHolders *holders)
{
    if (holders->maps.fd >= 0)
        look_at_maps(holders);
    else if (holders->tasks)
        try_task(holders);
    else if (holders->files)
        look_at_files(holders);
    else
        return false;
    return true;
}
