// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A mapping is made when a region is attached, and outlives the session by nothing: what lies in
// slots and has not reached its reader when the session ends is copied then.
//
// The daemon itself touches no region's memory. read(), sendmsg() and pwrite() do, and say EFAULT
// where a mapped file was cut under us; then the region is not used any more.

#include "regions.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "joint.h"
#include "link-session.h"
#include "probe.h"
#include "sources.h"

// A guest that boots, or a host that is busy, may find that shared memory is no faster, or not be
// done in time; without another try that would be so for as long as the VM runs. To measure is some
// load each time, so the pause doubles.
#define AGAIN_S      5
#define AGAIN_MOST_S 3600

// Of channels' payload, in this session.
typedef struct Bytes {
    uint64_t shared, port;
} Bytes;

typedef struct Region {
    void *base; // NULL: not attached
    size_t size;
    uint32_t epoch;
    const char *state;
    char *why;
    bool measuring;
    Bytes before;   // this measuring
    Bytes measured; // not counted: while it was measured
} Region;

struct MuxRegions {
    Region sides[2]; // by MuxRegionSide
    MuxProbe *probe;
    guint again;      // when it is measured again: a GLib source, or 0
    unsigned pause_s; // until then
    bool fault;
};

static const char *side_name(const MuxLink *link, MuxRegionSide side)
{
    return (link->relay->role == MUX_HOST) == (side == MUX_REGION_OUT) ? "host to guest"
                                                                       : "guest to host";
}

unsigned mux_regions_divide(uint64_t size, MuxSlotClass classes[MUX_SLOT_CLASSES])
{
    // Half for bulk, which fills a unix socket's buffer at each read; the rest in smaller ones, so
    // that a channel with little does not hold much.
    static const struct {
        uint32_t size, eighths;
    } parts[] = {{256 * 1024, 4}, {64 * 1024, 3}, {16 * 1024, 1}};

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        uint64_t count = MIN(size, (uint64_t)1 << 30) / 8 * parts[i].eighths / parts[i].size;
        classes[i] = (MuxSlotClass){parts[i].size, (uint32_t)count};
    }
    return G_N_ELEMENTS(parts);
}

// --- attaching

static void set_state(Region *region, const char *state, const char *why)
{
    char *copy = g_strdup(why);

    g_free(region->why);
    region->why = copy;
    region->state = state;
}

void mux_regions_say(MuxLink *link, MuxRegionSide side, const char *state, const char *why)
{
    set_state(&link->regions->sides[side], state, why);
    if (why)
        mux_link_log(link, G_LOG_LEVEL_MESSAGE, "no shared memory from %s: %s",
                     side_name(link, side), why);
}

void mux_regions_unwanted(MuxLink *link, const char *why)
{
    Region *sides = link->regions->sides;

    if (g_strcmp0(sides[MUX_REGION_OUT].why, why) != 0)
        mux_link_log(link, G_LOG_LEVEL_INFO, "no shared memory for channels: %s", why);
    set_state(&sides[MUX_REGION_OUT], "off", why);
    set_state(&sides[MUX_REGION_IN], "off", why);
}

static bool fits(uint64_t size, const MuxSlotClass *classes, unsigned n)
{
    uint64_t need = 0;

    for (unsigned i = 0; i < n; i++)
        need += (uint64_t)classes[i].size * classes[i].count;
    return n <= MUX_SLOT_CLASSES && need <= size;
}

static void measure(MuxLink *link)
{
    mux_regions_measuring(link, MUX_REGION_OUT, true);
    link->regions->probe = mux_probe_new(link);
}

int mux_regions_attach(MuxLink *link, MuxRegionSide side, int fd, uint64_t size, uint32_t epoch,
                       const MuxSlotClass *classes, unsigned n)
{
    Region *region = &link->regions->sides[side];
    bool ours = side == MUX_REGION_OUT;
    MuxRegion slots = {.epoch = epoch, .n = n};

    if (!fits(size, classes, n))
        return -EINVAL;
    mux_regions_detach(link, side);
    void *base = mmap(NULL, size, ours ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    slots.base = base;
    for (unsigned i = 0; i < n; i++)
        slots.classes[i] = classes[i];
    int r = mux_session_set_region(link->session, ours, &slots);
    if (r < 0) {
        (void)munmap(base, size);
        return r;
    }
    region->base = base;
    region->size = size;
    region->epoch = epoch;
    set_state(region, ours ? "measuring" : "on", NULL);
    if (ours) {
        link->regions->pause_s = AGAIN_S;
        measure(link);
    }
    return 0;
}

// Bytes that have come, and that their readers have yet to take.
static void rescue(MuxLink *link)
{
    int scratch = memfd_create("guestmux-rescue", MFD_CLOEXEC);

    for (MuxList *node = link->joints.next, *next; node != &link->joints; node = next) {
        MuxJoint *joint = mux_container(node, MuxJoint, node);
        next = node->next;
        if (!mux_backlog_rescue(&joint->backlog, scratch))
            mux_joint_free(joint, MUX_CODE_CLOSED);
    }
    if (scratch >= 0)
        close(scratch);
}

void mux_regions_detach(MuxLink *link, MuxRegionSide side)
{
    Region *region = &link->regions->sides[side];

    if (!region->base)
        return;
    if (side == MUX_REGION_OUT) {
        link->regions->probe = mux_probe_free(link->regions->probe);
        g_clear_handle_id(&link->regions->again, g_source_remove);
        mux_regions_measuring(link, side, false);
    } else {
        rescue(link);
    }
    (void)mux_session_set_region(link->session, side == MUX_REGION_OUT, NULL);
    (void)munmap(region->base, region->size);
    region->base = NULL;
    set_state(region, "off", NULL);
}

void mux_regions_end(MuxLink *link)
{
    mux_regions_detach(link, MUX_REGION_OUT);
    mux_regions_detach(link, MUX_REGION_IN);
    link->regions->fault = false;
    for (size_t i = 0; i < G_N_ELEMENTS(link->regions->sides); i++) {
        link->regions->sides[i].measuring = false;
        link->regions->sides[i].measured = (Bytes){0};
    }
}

// --- measuring

// In all.
static Bytes count(const MuxLink *link, MuxRegionSide side)
{
    MuxRegionInfo info;

    mux_session_region_info(link->session, side == MUX_REGION_OUT, &info);
    return (Bytes){info.shared, info.port};
}

// That are shown: those of the measuring are not.
static Bytes shown(const MuxLink *link, MuxRegionSide side)
{
    const Region *region = &link->regions->sides[side];
    Bytes all = region->measuring ? region->before : count(link, side);

    return (Bytes){all.shared - region->measured.shared, all.port - region->measured.port};
}

void mux_regions_measuring(MuxLink *link, MuxRegionSide side, bool begins)
{
    Region *region = &link->regions->sides[side];
    Bytes now = count(link, side);

    if (begins == region->measuring)
        return;
    region->measuring = begins;
    if (begins) {
        region->before = now;
        return;
    }
    region->measured.shared += now.shared - region->before.shared;
    region->measured.port += now.port - region->before.port;
}

static gboolean on_again(gpointer user)
{
    MuxLink *link = user;

    link->regions->again = 0;
    mux_probe_free(link->regions->probe);
    measure(link);
    return G_SOURCE_REMOVE;
}

void mux_regions_measured(MuxLink *link, uint32_t threshold, const char *why)
{
    MuxRegions *regions = link->regions;
    Region *region = &regions->sides[MUX_REGION_OUT];
    const char *side = side_name(link, MUX_REGION_OUT);

    mux_session_set_threshold(link->session, threshold);
    mux_regions_measuring(link, MUX_REGION_OUT, false);
    if (threshold != MUX_NEVER)
        mux_link_log(link, G_LOG_LEVEL_INFO, "shared memory from %s: used from %u bytes on", side,
                     threshold);
    else if (g_strcmp0(region->why, why) != 0)
        mux_link_log(link, G_LOG_LEVEL_INFO, "shared memory from %s is not used: %s", side, why);
    set_state(region, "on", why);
    if (threshold != MUX_NEVER)
        return;
    regions->again = mux_source_timeout(regions->pause_s * 1000, on_again, link);
    regions->pause_s = MIN(2 * regions->pause_s, AGAIN_MOST_S);
}

void mux_regions_fault(MuxLink *link)
{
    link->regions->fault = true;
}

void mux_regions_check(MuxLink *link)
{
    static const char why[] = "the memory's file was cut short";

    if (!link->regions->fault)
        return;
    link->regions->fault = false;
    mux_regions_detach(link, MUX_REGION_OUT);
    mux_regions_say(link, MUX_REGION_OUT, "off", why);
}

// --- life, and showing

MuxRegions *mux_regions_new(MuxLink *link)
{
    MuxRegions *regions = g_new0(MuxRegions, 1);

    (void)link;
    set_state(&regions->sides[MUX_REGION_OUT], "off", NULL);
    set_state(&regions->sides[MUX_REGION_IN], "off", NULL);
    return regions;
}

MuxRegions *mux_regions_free(MuxRegions *regions)
{
    if (!regions)
        return NULL;
    g_free(regions->sides[MUX_REGION_OUT].why);
    g_free(regions->sides[MUX_REGION_IN].why);
    g_free(regions);
    return NULL;
}

static json_object *side_json(const MuxLink *link, MuxRegionSide side)
{
    const Region *region = &link->regions->sides[side];
    json_object *object = json_object_new_object();
    bool ours = side == MUX_REGION_OUT;
    Bytes bytes = shown(link, side);
    MuxRegionInfo info;

    mux_session_region_info(link->session, ours, &info);
    json_object_object_add(object, "state", json_object_new_string(region->state));
    if (region->why)
        json_object_object_add(object, "why", json_object_new_string(region->why));
    json_object_object_add(object, "shared_bytes", json_object_new_uint64(bytes.shared));
    json_object_object_add(object, "inline_bytes", json_object_new_uint64(bytes.port));
    if (!region->base)
        return object;
    json_object_object_add(object, "size", json_object_new_uint64(region->size));
    json_object_object_add(object, "epoch", json_object_new_uint64(region->epoch));
    json_object_object_add(object, "slots", json_object_new_uint64(info.slots));
    json_object_object_add(object, "slots_used", json_object_new_uint64(info.used));
    if (ours)
        json_object_object_add(
            object, "from_bytes",
            info.threshold == MUX_NEVER ? NULL : json_object_new_uint64(info.threshold));
    return object;
}

void mux_regions_json(const MuxLink *link, json_object *object)
{
    json_object_object_add(object, "out", side_json(link, MUX_REGION_OUT));
    json_object_object_add(object, "in", side_json(link, MUX_REGION_IN));
}
