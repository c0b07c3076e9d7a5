// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A root port is a bridge that QEMU knows by a name, so that it can be named as a bus. Only one
// that says that nothing is behind it is free: before the guest's firmware has numbered the buses,
// QEMU says nothing. A device that was added to a full one would be accepted, and never seen by the
// guest.

#include "place.h"

#include <stdio.h>
#include <string.h>

#include "relay/json.h"

#define BRIDGES_DEEP 8

typedef struct Search {
    uint64_t size;
    unsigned skip, ports; // how many root ports there are
    bool found;
    GArray *free; // of MuxPlace
} Search;

static json_object *get(json_object *object, const char *key)
{
    json_object *value = NULL;
    return json_object_is_type(object, json_type_object) &&
                   json_object_object_get_ex(object, key, &value)
               ? value
               : NULL;
}

static uint64_t number(json_object *object, const char *key)
{
    json_object *value = get(object, key);
    return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : 0;
}

static const char *text(json_object *object, const char *key)
{
    json_object *value = get(object, key);
    return mux_json_is_text(value) ? json_object_get_string(value) : "";
}

static size_t length(json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static bool is_root_port(json_object *device)
{
    static const struct {
        uint64_t vendor, device;
    } known[] = {{0x1b36, 0x000c}, {0x8086, 0x3420}, {0x104c, 0x8233}};
    json_object *id = get(device, "id");

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (number(id, "vendor") == known[i].vendor && number(id, "device") == known[i].device)
            return true;
    return false;
}

static uint64_t window_of(json_object *bridge)
{
    json_object *range = get(get(bridge, "bus"), "prefetchable_range");
    uint64_t base = number(range, "base"), limit = number(range, "limit");

    return limit > base ? limit - base + 1 : 0;
}

static void look_at_port(Search *search, json_object *device, json_object *bridge)
{
    json_object *behind = get(bridge, "devices");
    const char *name = text(device, "qdev_id");
    MuxPlace place = {.window = window_of(bridge)};

    search->ports++;
    if (!json_object_is_type(behind, json_type_array) || length(behind) > 0 || name[0] == '\0' ||
        strlen(name) >= sizeof(place.bus))
        return;
    g_strlcpy(place.bus, name, sizeof(place.bus));
    g_array_append_val(search->free, place);
}

// NOLINTNEXTLINE(misc-no-recursion): it is bounded
static void look_behind(Search *search, json_object *devices, unsigned deep)
{
    for (size_t i = 0; i < length(devices) && deep < BRIDGES_DEEP; i++) {
        json_object *device = json_object_array_get_idx(devices, i);
        json_object *bridge = get(device, "pci_bridge");
        if (!bridge)
            continue;
        if (is_root_port(device))
            look_at_port(search, device, bridge);
        look_behind(search, get(bridge, "devices"), deep + 1);
    }
}

// Of two that are large enough the smaller one, else the larger one; and the first of equal ones.
static bool is_better(uint64_t window, uint64_t than, uint64_t size)
{
    return window >= size && than >= size ? window < than : window > than;
}

static void take_best(Search *search, MuxPlace *ret_place)
{
    for (unsigned n = 0; search->free->len > 0; n++) {
        guint best = 0;
        for (guint i = 1; i < search->free->len; i++)
            if (is_better(g_array_index(search->free, MuxPlace, i).window,
                          g_array_index(search->free, MuxPlace, best).window, search->size))
                best = i;
        *ret_place = g_array_index(search->free, MuxPlace, best);
        g_array_remove_index(search->free, best);
        search->found = n == search->skip;
        if (search->found)
            return;
    }
}

int mux_place_find(json_object *untrusted_buses, uint64_t size, unsigned skip, MuxPlace *ret_place)
{
    Search search = {.size = size, .skip = skip};
    MuxPlace place = {0};

    search.free = g_array_new(FALSE, FALSE, sizeof(MuxPlace));
    for (size_t i = 0; i < length(untrusted_buses); i++)
        look_behind(&search, get(json_object_array_get_idx(untrusted_buses, i), "devices"), 0);
    take_best(&search, &place);
    g_array_unref(search.free);
    if (search.ports > 0 && !search.found)
        return MUX_PLACE_NONE;
    *ret_place = place;
    return 0;
}

// NOLINTNEXTLINE(misc-no-recursion): it is bounded
static bool find_device(json_object *devices, const char *id, unsigned deep, char *ret_address)
{
    for (size_t i = 0; i < length(devices) && deep < BRIDGES_DEEP; i++) {
        json_object *device = json_object_array_get_idx(devices, i);
        if (strcmp(text(device, "qdev_id"), id) == 0) {
            (void)snprintf(ret_address, MUX_PLACE_ADDRESS_SIZE, "0000:%02x:%02x.%x",
                           (unsigned)number(device, "bus") & 0xff,
                           (unsigned)number(device, "slot") & 0x1f,
                           (unsigned)number(device, "function") & 0x7);
            return true;
        }
        if (find_device(get(get(device, "pci_bridge"), "devices"), id, deep + 1, ret_address))
            return true;
    }
    return false;
}

bool mux_place_address(json_object *untrusted_buses, const char *id,
                       char ret_address[MUX_PLACE_ADDRESS_SIZE])
{
    for (size_t i = 0; i < length(untrusted_buses); i++)
        if (find_device(get(json_object_array_get_idx(untrusted_buses, i), "devices"), id, 0,
                        ret_address))
            return true;
    return false;
}
