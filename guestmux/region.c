// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The host says which device is which region, and how it is divided; its "out" is what comes in
// here. regions.c of relay does the rest.

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"

static bool read_number(json_object *untrusted, uint32_t *ret)
{
    int64_t number = json_object_get_int64(untrusted);

    if (!json_object_is_type(untrusted, json_type_int) || number < 1 || number > UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

// [[SIZE, COUNT], …]. How many; 0: it makes no sense. What fits the region, relay sees.
static unsigned read_classes(json_object *untrusted, MuxSlotClass classes[MUX_SLOT_CLASSES])
{
    if (!json_object_is_type(untrusted, json_type_array) ||
        json_object_array_length(untrusted) > MUX_SLOT_CLASSES)
        return 0;
    for (size_t i = 0; i < json_object_array_length(untrusted); i++) {
        json_object *pair = json_object_array_get_idx(untrusted, i);
        if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2 ||
            !read_number(json_object_array_get_idx(pair, 0), &classes[i].size) ||
            !read_number(json_object_array_get_idx(pair, 1), &classes[i].count))
            return 0;
    }
    return (unsigned)json_object_array_length(untrusted);
}

// The one that was that region is not any more.
static void take_place(MuxMemory *memory, MuxRegionSide side)
{
    for (MuxList *node = memory->bars.next; node != &memory->bars; node = node->next) {
        MuxBar *bar = mux_container(node, MuxBar, node);
        if (bar->is_region && bar->side == side)
            mux_region_end(bar);
    }
}

// 0 or a negative errno.
static int attach(MuxBar *bar, MuxRegionSide side, uint32_t epoch, const MuxSlotClass *classes,
                  unsigned n)
{
    MuxMemory *memory = bar->memory;
    int fd = mux_device_open(bar->device, side == MUX_REGION_OUT);

    if (fd < 0)
        return fd;
    take_place(memory, side);
    int r = mux_regions_attach(memory->link, side, fd, bar->size, epoch, classes, n);
    close(fd);
    bar->is_region = r == 0;
    bar->side = side;
    return r;
}

static void answer(MuxMemory *memory, const char *region, uint32_t epoch, int error)
{
    json_object *line = json_object_new_object();

    mux_line_text(line, "region", region);
    json_object_object_add(line, "epoch", json_object_new_int64(epoch));
    if (error < 0)
        mux_line_text(line, "error", g_strerror(-error));
    mux_memory_say(memory, line);
}

bool mux_region_take(MuxMemory *memory, json_object *untrusted_line, GError **error)
{
    const char *region = NULL, *device = "";
    MuxSlotClass classes[MUX_SLOT_CLASSES] = {{0, 0}};
    guint64 epoch = 0;
    json_object *slots = NULL;
    uint64_t id = 0;

    if (!mux_json_string(untrusted_line, "region", &region, error) ||
        !mux_json_string(untrusted_line, "device", &device, error) ||
        !mux_json_number(untrusted_line, "epoch", 0, UINT32_MAX, &epoch, error))
        return false;
    (void)json_object_object_get_ex(untrusted_line, "slots", &slots);
    unsigned n = read_classes(slots, classes);
    if ((strcmp(region, "out") != 0 && strcmp(region, "in") != 0) || n == 0 ||
        !mux_id_read(device, &id))
        return mux_nonsense(error, "a region that makes no sense");

    MuxRegionSide side = strcmp(region, "out") == 0 ? MUX_REGION_IN : MUX_REGION_OUT;
    MuxBar *bar = mux_bar_find(memory, id);
    bool usable = bar && bar->state == MUX_BAR_PROVED && !bar->share;
    int r = usable ? attach(bar, side, (uint32_t)epoch, classes, n) : -ENODEV;
    if (r < 0)
        mux_regions_say(memory->link, side, "off", g_strerror(-r));
    answer(memory, region, (uint32_t)epoch, r);
    return true;
}

void mux_region_end(MuxBar *bar)
{
    if (bar->is_region)
        mux_regions_detach(bar->memory->link, bar->side);
    bar->is_region = false;
}
