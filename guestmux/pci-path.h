// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The files by which the kernel lets a PCI device's memory be mapped: .../ADDRESS/resource2, and
// beside it resource2_wc.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define MUX_PCI_MEMORY "resource2"

// Whether the file of that path (as /proc/PID/maps has it, it may lie in another view of the file
// system) and that inode is the device's whose own is `memory` with the inode `own`, or the other
// one beside it.
bool mux_pci_path_shows(const char *path, ino_t inode, const char *memory, ino_t own);
// Whether it is of a device, any one, that is not there any more.
bool mux_pci_path_is_unplugged(const char *path, ino_t inode);
// Whether it may be either of the two.
bool mux_pci_path_matters(const char *path);
