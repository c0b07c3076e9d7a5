// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The kernel never gives a file in /sys the inode of an earlier one, so a mapping whose path is
// there with another inode, or is not there, is one that outlived its device. The path of such a
// mapping looks as it did, until somebody looks the file up in a folder that he has kept open, or
// while the device goes: then it has " (deleted)" behind it. (Linux 6.1, and 6.12.)

#include "pci-path.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BUS "/sys/bus/pci/devices"
// Hexadecimal digits; longer domains there are on some machines.
#define ADDRESS_MAX 32

// "0000:00:05.0"
static bool is_address(const char *text, size_t length)
{
    size_t colons = 0, points = 0;

    for (size_t i = 0; i < length; i++) {
        colons += text[i] == ':';
        points += text[i] == '.';
        if (!g_ascii_isxdigit(text[i]) && text[i] != ':' && text[i] != '.')
            return false;
    }
    return length <= ADDRESS_MAX && colons == 2 && points == 1;
}

// How long the name "resource0" … "resource5", or such a one with "_wc" behind it, is; 0: it is
// none. What the kernel says of a file that is gone does not count.
static size_t resource_length(const char *name)
{
    static const char resource[] = "resource", wc[] = "_wc";
    size_t length = sizeof(resource) - 1;

    if (strncmp(name, resource, length) != 0 || name[length] < '0' || name[length] > '5')
        return 0;
    length++;
    if (strncmp(name + length, wc, sizeof(wc) - 1) == 0)
        length += sizeof(wc) - 1;
    return name[length] == '\0' || strcmp(name + length, " (deleted)") == 0 ? length : 0;
}

// Where the address begins, of a path ".../ADDRESS/resourceN", and how long it is from there on; or
// NULL.
static const char *split(const char *path, size_t *ret_length)
{
    const char *name = strrchr(path, '/');
    size_t length = name ? resource_length(name + 1) : 0;

    if (length == 0)
        return NULL;
    const char *address = name;
    while (address > path && address[-1] != '/')
        address--;
    if (!is_address(address, (size_t)(name - address)))
        return NULL;
    *ret_length = (size_t)(name + 1 - address) + length;
    return address;
}

static bool has_inode(const char *path, ino_t inode)
{
    struct stat status;

    return stat(path, &status) == 0 && status.st_ino == inode;
}

bool mux_pci_path_is_unplugged(const char *path, ino_t inode)
{
    size_t length;
    const char *address = split(path, &length);
    char now[sizeof(BUS) + ADDRESS_MAX + sizeof("/resource2_wc")];

    if (!address)
        return false;
    (void)snprintf(now, sizeof(now), BUS "/%.*s", (int)length, address);
    return !has_inode(now, inode);
}

bool mux_pci_path_shows(const char *path, ino_t inode, const char *memory, ino_t own)
{
    g_autofree char *other = NULL;

    if (!mux_pci_path_matters(path))
        return false;
    if (inode == own || !has_inode(memory, own))
        return inode == own;
    other = g_strconcat(memory, "_wc", NULL);
    return has_inode(other, inode);
}

bool mux_pci_path_matters(const char *path)
{
    size_t length;

    return split(path, &length) != NULL;
}
