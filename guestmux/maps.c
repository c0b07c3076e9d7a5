// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A line is "START-END rwxp OFFSET MAJOR:MINOR INODE   PATH"; numbers are hexadecimal, but the
// inode is not. The kernel gives whole lines, in pieces of a page, and what is within a piece was
// so at one moment.

#include "maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// Of smaps, of a process that has so many mappings that the rest is not read.
#define SMAPS_MAX (4u << 20)

int mux_maps_open(MuxMaps *maps, int process, const char *file)
{
    maps->fd = openat(process, file, O_RDONLY | O_CLOEXEC);
    maps->any = maps->skipping = false;
    maps->used = 0;
    return maps->fd < 0 ? -errno : 0;
}

void mux_maps_close(MuxMaps *maps)
{
    if (maps->fd >= 0)
        close(maps->fd);
    maps->fd = -1;
}

// False when the line is not about a file.
static bool parse(const char *line, MuxMapping *ret_mapping)
{
    const char *at = line;
    char *end;

    for (int i = 0; i < 3; i++) { // to behind the range, the flags, the offset
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    unsigned major = (unsigned)strtoul(at, &end, 16);
    if (*end != ':')
        return false;
    unsigned minor = (unsigned)strtoul(end + 1, &end, 16);
    ino_t inode = (ino_t)strtoull(end, &end, 10);
    ret_mapping->range = line;
    ret_mapping->path = end + strspn(end, " ");
    ret_mapping->device = makedev(major, minor);
    ret_mapping->inode = inode;
    return inode != 0 && *ret_mapping->path != '\0';
}

// Takes the whole lines out of the buffer.
static void take_lines(MuxMaps *maps, void (*fn)(void *user, const MuxMapping *mapping), void *user)
{
    char *line = maps->buffer, *end = maps->buffer + maps->used, *newline;
    MuxMapping mapping;

    while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
        *newline = '\0';
        if (!maps->skipping && parse(line, &mapping))
            fn(user, &mapping);
        maps->skipping = false;
        line = newline + 1;
    }
    maps->used = (size_t)(end - line);
    memmove(maps->buffer, line, maps->used);
    if (maps->used == sizeof(maps->buffer)) { // no device's path is as long as that
        maps->skipping = true;
        maps->used = 0;
    }
}

int mux_maps_read(MuxMaps *maps, void (*fn)(void *user, const MuxMapping *mapping), void *user)
{
    ssize_t n = read(maps->fd, maps->buffer + maps->used, sizeof(maps->buffer) - maps->used);

    if (n <= 0) {
        int r = n < 0 ? -errno : 0;
        mux_maps_close(maps);
        return r;
    }
    maps->any = true;
    maps->used += (size_t)n;
    take_lines(maps, fn, user);
    return 1;
}

// --- what kind of memory it is

// Of the mapping whose lines come next; NULL: they do not.
static char *read_flags(FILE *stream, char **line, size_t *size)
{
    while (getline(line, size, stream) > 0)
        if (strncmp(*line, "VmFlags:", 8) == 0)
            return *line + 8;
    return NULL;
}

bool mux_maps_is_device(int process, const char *file, const char *range)
{
    size_t length = strcspn(range, " ") + 1, size = 0, total = 0;
    int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
    char *line = NULL, *flags = NULL;
    bool found = false;
    ssize_t n;

    while (stream && !found && total < SMAPS_MAX && (n = getline(&line, &size, stream)) > 0) {
        total += (size_t)n;
        found = strncmp(line, range, length) == 0;
    }
    if (found)
        flags = read_flags(stream, &line, &size);
    // In doubt it is: " pf" stands for memory that has no pages of its own.
    bool is = flags ? strstr(flags, " pf") != NULL : total >= SMAPS_MAX;
    free(line);
    if (stream)
        (void)fclose(stream);
    else if (fd >= 0)
        close(fd);
    return is;
}
