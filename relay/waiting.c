// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One timer for all lines: it looks at those that are due. The list is as long as the configuration
// at most: a line is one VM's for one service.

#include "waiting.h"

#include "joint.h"
#include "sources.h"

#define PAUSE_US     1000
#define PAUSE_MAX_US 64000

static uint64_t now(void)
{
    return (uint64_t)g_get_monotonic_time();
}

static void set_due(MuxUse *use, uint64_t due_us, bool fresh)
{
    use->pause_us = fresh ? PAUSE_US : MIN(2 * use->pause_us, PAUSE_MAX_US);
    use->due_us = due_us ? due_us : now() + use->pause_us;
}

MuxWaiting *mux_waiting_new(void)
{
    MuxWaiting *waiting = g_new0(MuxWaiting, 1);

    mux_list_init(&waiting->lines);
    return waiting;
}

MuxWaiting *mux_waiting_free(MuxWaiting *waiting)
{
    if (!waiting)
        return NULL;
    g_assert(mux_list_empty(&waiting->lines));
    if (waiting->source)
        g_source_remove(waiting->source);
    g_free(waiting);
    return NULL;
}

// Tries those that wait in a line, until one has to go on waiting. A line in which somebody was
// served goes to the end of `served`.
static void serve(MuxUse *use, MuxList *served)
{
    MuxList *first = mux_list_first(&use->waiting);
    // The last joint to end would take the line with it.
    MuxService *service = mux_service_ref(mux_container(first, MuxJoint, waits)->service);
    uint64_t due_us = 0;
    bool any = false;

    while ((first = mux_list_first(&use->waiting))) {
        MuxJoint *joint = mux_container(first, MuxJoint, waits);
        MuxLink *link = joint->link; // the joint may end
        if (!mux_joint_reach(joint, &due_us))
            break;
        any = true;
        mux_link_kick(link);
    }
    if (first)
        set_due(use, due_us, any);
    if (first && any)
        mux_list_append(served, &use->line);
    mux_service_unref(service);
}

static gboolean on_due(gpointer user);

static void arm(MuxWaiting *waiting)
{
    uint64_t due = UINT64_MAX, since = now();

    if (waiting->source)
        g_source_remove(waiting->source);
    waiting->source = 0;
    for (MuxList *node = waiting->lines.next; node != &waiting->lines; node = node->next)
        due = MIN(due, mux_container(node, MuxUse, line)->due_us);
    if (!mux_list_empty(&waiting->lines))
        waiting->source = mux_source_timeout(due > since ? (guint)((due - since + 999) / 1000) : 0,
                                             on_due, waiting);
}

static gboolean on_due(gpointer user)
{
    MuxWaiting *waiting = user;
    MuxList turn, served, *first;
    uint64_t since = now();

    waiting->source = 0;
    mux_list_init(&turn);
    mux_list_init(&served);
    while ((first = mux_list_first(&waiting->lines)))
        mux_list_append(&turn, first);
    while ((first = mux_list_first(&turn))) {
        MuxUse *use = mux_container(first, MuxUse, line);
        mux_list_append(&waiting->lines, first);
        if (use->due_us <= since)
            serve(use, &served);
    }
    while ((first = mux_list_first(&served)))
        mux_list_append(&waiting->lines, first);
    arm(waiting);
    return G_SOURCE_REMOVE;
}

void mux_waiting_add(MuxJoint *joint, uint64_t due_us)
{
    MuxWaiting *waiting = joint->link->relay->waiting;
    MuxUse *use = joint->use;
    bool first = mux_list_empty(&use->waiting);

    mux_list_append(&use->waiting, &joint->waits);
    if (!first)
        return;
    set_due(use, due_us, true);
    mux_list_append(&waiting->lines, &use->line);
    arm(waiting);
}

void mux_waiting_leave(MuxJoint *joint)
{
    if (mux_list_empty(&joint->waits))
        return;
    mux_list_remove(&joint->waits);
    if (mux_list_empty(&joint->use->waiting))
        mux_list_remove(&joint->use->line);
}
