// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Where in a machine a device can be plugged while it runs, and where one is, from what QEMU's
// query-pci says.
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define MUX_PLACE_BUS_MAX 64

typedef struct MuxPlace {
    char bus[MUX_PLACE_BUS_MAX]; // "": QEMU is to choose
    uint64_t window;             // the guest's room there for a device's memory; 0: not known
} MuxPlace;

#define MUX_PLACE_NONE 1 // there are root ports, and all of them have a device

// A place for a device of that many bytes. Without PCI Express there are no root ports, and QEMU
// chooses. With it, each root port takes one device: the free one with the least room that is
// enough, or else with the most; `skip` leaves out that many that come first. 0 or the above.
int mux_place_find(json_object *untrusted_buses, uint64_t size, unsigned skip, MuxPlace *ret_place);

// The guest's address of the device with that id, "0000:00:05.0". False when it is not there.
#define MUX_PLACE_ADDRESS_SIZE 16
bool mux_place_address(json_object *untrusted_buses, const char *id,
                       char ret_address[MUX_PLACE_ADDRESS_SIZE]);
