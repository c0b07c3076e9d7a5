// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// All searches that wait when a pass begins are answered by it. A pass goes through /proc in slices
// of SLICE_US with pauses in between, so that channels go on, however many processes there are.
//
// Who mapped it before the pass began, and does nothing to hide, is not missed: /proc is read in
// the order of ids, a child has a higher one than all that there are, and inherits its parent's
// mappings; only when the ids begin anew in the middle of a pass is it done again. Who hides (moves
// what he has mapped, or himself) is only known to the kernel.

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "holders-private.h"
#include "relay/sources.h"

#define SLICE_US 2000
#define PAUSE_MS 4
#define PASSES   3 // until the ids did not begin anew

// --- a pass

// The id that a process was given last; 0: that is not known.
static int newest_process(void)
{
    FILE *file = fopen("/proc/loadavg", "re");
    int newest = 0;

    if (file && fscanf(file, "%*s %*s %*s %*s %d", &newest) != 1)
        newest = 0;
    if (file)
        (void)fclose(file);
    return newest;
}

static void begin_pass(MuxHolders *holders)
{
    for (MuxList *node = holders->current.next; node != &holders->current; node = node->next) {
        MuxSearch *search = mux_container(node, MuxSearch, node);
        search->holders = 0;
        search->pid = search->last = search->error = 0;
        search->program[0] = '\0';
    }
    holders->newest = newest_process();
    holders->proc = opendir("/proc");
    if (!holders->proc)
        mux_holders_fail(holders, -errno);
}

// A little of it. False at its end.
static bool look(MuxHolders *holders)
{
    if (mux_visit_step(holders))
        return true;
    mux_visit_end(holders);
    int pid = holders->proc ? mux_next_number(holders->proc) : 0;
    if (pid != 0 && pid != getpid())
        mux_visit_begin(holders, pid);
    return pid != 0;
}

static void end_pass(MuxHolders *holders)
{
    mux_visit_end(holders);
    if (holders->proc)
        (void)closedir(holders->proc);
    holders->proc = NULL;
}

// Whether the pass has to be done again.
static bool is_in_doubt(MuxHolders *holders)
{
    if (newest_process() >= holders->newest)
        return false;
    if (++holders->passes < PASSES)
        return true;
    mux_holders_fail(holders, -EAGAIN);
    return false;
}

// What the kernel knows better.
static void correct(MuxSearch *search)
{
    int alone = search->device ? mux_device_is_alone(search->device) : -ENODATA;

    if (alone == 0 && search->holders == 0 && search->error == 0)
        search->holders = 1;
    if (alone == 1) {
        search->holders = 0;
        search->error = 0;
    }
}

static void answer(MuxHolders *holders)
{
    MuxList done, *node;

    mux_list_init(&done);
    while ((node = mux_list_first(&holders->current)))
        mux_list_append(&done, node);
    while ((node = mux_list_first(&done))) {
        MuxSearch *search = mux_container(node, MuxSearch, node);
        mux_list_remove(node);
        correct(search);
        search->done(search);
    }
}

// Nobody has to be looked for who is not there.
static void answer_alone(MuxHolders *holders)
{
    MuxList done, *next;

    mux_list_init(&done);
    for (MuxList *node = holders->waiting.next; node != &holders->waiting; node = next) {
        const MuxSearch *search = mux_container(node, MuxSearch, node);
        next = node->next;
        if (search->device && mux_device_is_alone(search->device) == 1)
            mux_list_append(&done, node);
    }
    while ((next = mux_list_first(&done))) {
        MuxSearch *search = mux_container(next, MuxSearch, node);
        mux_list_remove(next);
        correct(search);
        search->done(search);
    }
}

static gboolean on_slice(gpointer user)
{
    MuxHolders *holders = user;
    gint64 end = g_get_monotonic_time() + SLICE_US;
    MuxList *node;

    answer_alone(holders);
    if (!holders->proc && mux_list_empty(&holders->waiting) && mux_list_empty(&holders->current)) {
        holders->source = 0;
        return G_SOURCE_REMOVE;
    }
    if (!holders->proc) {
        while ((node = mux_list_first(&holders->waiting)))
            mux_list_append(&holders->current, node);
        begin_pass(holders);
    }
    while (g_get_monotonic_time() < end) {
        if (look(holders))
            continue;
        end_pass(holders);
        if (is_in_doubt(holders))
            return G_SOURCE_CONTINUE; // with a new pass for the same
        holders->passes = 0;
        answer(holders);
        if (!mux_list_empty(&holders->waiting))
            return G_SOURCE_CONTINUE;
        holders->source = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

// --- searches

void mux_search_init(MuxSearch *search)
{
    *search = (MuxSearch){0};
    mux_list_init(&search->node);
}

void mux_search_start(MuxSearch *search, MuxHolders *holders, const MuxDevice *device,
                      void (*done)(MuxSearch *search))
{
    search->device = device;
    search->done = done;
    mux_list_append(&holders->waiting, &search->node);
    if (!holders->source)
        holders->source = mux_source_timeout(PAUSE_MS, on_slice, holders);
}

void mux_search_cancel(MuxSearch *search)
{
    mux_list_remove(&search->node);
}

bool mux_search_is_under_way(const MuxSearch *search)
{
    return !mux_list_empty(&search->node);
}

// --- life

MuxHolders *mux_holders_new(const MuxDevices *devices, bool strict)
{
    MuxHolders *holders = g_new0(MuxHolders, 1);
    struct stat status;

    holders->devices = devices;
    holders->strict = strict;
    holders->process = holders->maps.fd = -1;
    holders->sysfs = stat("/sys", &status) == 0 ? status.st_dev : 0;
    mux_list_init(&holders->waiting);
    mux_list_init(&holders->current);
    return holders;
}

MuxHolders *mux_holders_free(MuxHolders *holders)
{
    if (!holders)
        return NULL;
    end_pass(holders);
    if (holders->source)
        g_source_remove(holders->source);
    g_free(holders);
    return NULL;
}
