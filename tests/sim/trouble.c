// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "trouble.h"

#include "proto/limits.h"

#define GUEST 0
#define HOST  1

static void lose_some(World *world, unsigned writer)
{
    Pipe *pipe = &world->pipe[writer];
    Run *run = world->run;
    size_t n = (size_t)run_below(run, pipe_waiting(pipe) + 1);

    switch (run_below(run, 4)) {
    case 0:
        pipe_lose_tail(pipe, n);
        break;
    case 1:
        pipe_lose_front(pipe, n);
        break;
    case 2:
        pipe_lose_front(pipe, SIZE_MAX);
        break;
    default:
        break;
    }
}

static void port_closed(World *world, unsigned side)
{
    end_port_closed(world_enter(world, side));
    world_leave(world);
}

static void port_opened(World *world, unsigned side)
{
    end_port_opened(world_enter(world, side));
    world_leave(world);
}

static void crash(World *world, unsigned side)
{
    end_free(world_enter(world, side));
    world->end[side] = end_new(world->run, side, &world->limits[side]);
    world_leave(world);
    port_opened(world, side);
}

// --- what happens, and is noticed
// -------------------------------------------------------------------

// The host's end of the chardev closes. The guest sees that, and nothing can be written until it is
// back.
static void port_lost(World *world)
{
    run_count(world->run, COVER_PORT_LOST);
    port_closed(world, HOST);
    port_closed(world, GUEST);
    lose_some(world, GUEST);
    lose_some(world, HOST);
    world->pipe[GUEST].closed = true;
}

static void port_back(World *world)
{
    world->pipe[GUEST].closed = false;
    port_opened(world, HOST);
    port_opened(world, GUEST);
}

static void guest_reopens(World *world)
{
    run_count(world->run, COVER_REOPEN);
    port_closed(world, GUEST);
    if (run_chance(world->run, 50))
        pipe_repeat(&world->pipe[HOST], (size_t)run_size(world->run, 65536));
    port_opened(world, GUEST);
}

static void guest_crashes(World *world)
{
    run_count(world->run, COVER_GUEST_CRASH);
    crash(world, GUEST);
}

// --- what happens, and one end does not notice
// ------------------------------------------------------

static void host_reconnects(World *world)
{
    run_count(world->run, COVER_RECONNECT);
    lose_some(world, GUEST);
    lose_some(world, HOST);
    trouble_reconnect(world);
}

static void host_crashes(World *world)
{
    run_count(world->run, COVER_HOST_CRASH);
    lose_some(world, GUEST);
    lose_some(world, HOST);
    crash(world, HOST);
}

static void guest_is_reset(World *world)
{
    run_count(world->run, COVER_GUEST_RESET);
    lose_some(world, GUEST);
    lose_some(world, HOST);
    crash(world, GUEST);
}

// --- what nobody notices but the protocol
// -----------------------------------------------------------

static void tear_ledger(World *world)
{
    Ledger *ledger = &world->run->ledger;
    End *guest = world->end[GUEST];

    for (uint32_t i = 0; i < ledger->count; i++) {
        Entry *entry = ledger_entry(ledger, i);
        entry->torn = true;
        entry->undone |= entry->opener == GUEST && i >= world->snapshot_count;
        entry->at[GUEST] = NULL;
    }
    guest->torn = world->end[HOST]->torn = true;
    for (size_t i = 0; i < guest->count; i++)
        chan_entry(guest->chans[i])->at[GUEST] = guest->chans[i];
}

static void snapshot(World *world)
{
    run_count(world->run, COVER_SNAPSHOT);
    arena_snapshot(world->arena);
    world->snapshot = world->end[GUEST];
    world->snapshot_us = world->run->now_us;
    world->snapshot_count = world->run->ledger.count;
}

// The guest is what it was, its clock too; the host goes on.
static void restore(World *world)
{
    Run *run = world->run;

    arena_restore(world->arena);
    End *guest = world->end[GUEST] = world->snapshot;
    guest->clock_us -= (int64_t)(run->now_us - world->snapshot_us);
    world->snapshot = NULL;
    run_count(run, guest->told_up ? COVER_RESTORE_UP : COVER_RESTORE_GREETING);
    tear_ledger(world);
    share_restored(world_enter(world, GUEST));
    world_leave(world);
}

// What is on its way may be lost with it.
static void snapshot_or_restore(World *world)
{
    if (world->arena && world->snapshot && run_chance(world->run, 70)) {
        restore(world);
        world->cut = true;
        lose_some(world, GUEST);
        lose_some(world, HOST);
    } else if (world->arena) {
        snapshot(world);
    }
}

static void guest_opens(World *world)
{
    End *guest = world_enter(world, GUEST);
    for (uint64_t n = 1 + run_below(world->run, 3); n > 0 && end_open(guest); n--) {
    }
    world_leave(world);
    world_pump(world, GUEST);
}

// The guest opens channels and is rolled back before it reads the answers; then it opens others,
// which get the same ids, and has said so before the answers come out of the port.
static void undo(World *world)
{
    Run *run = world->run;
    bool *stalled = &world->pipe[HOST].stalled, was = *stalled;

    if (!world->arena)
        return;
    *stalled = true;
    snapshot(world);
    guest_opens(world);
    world_pump(world, HOST);
    apps_answer(world_enter(world, HOST));
    world_leave(world);
    world_pump(world, HOST);
    run->now_us += run_size(run, 4000);
    restore(world);
    guest_opens(world);
    *stalled = was;
}

static void spoil(World *world)
{
    Run *run = world->run;
    Pipe *pipe = &world->pipe[run_below(run, 2)];

    // As many bytes lost as repeated in one payload would be bytes that changed, and no pipe does
    // that.
    if (pipe->undisturbed < MUX_FRAME_MAX)
        return;
    switch (run_below(run, 4)) {
    case 0:
        run_count(run, COVER_LOSE_TAIL);
        world->cut = true;
        pipe_lose_tail(pipe, 1 + (size_t)run_size(run, 65536));
        break;
    case 1:
        run_count(run, COVER_LOSE_WRITE);
        world->cut = true; // if a part of it was read
        pipe_lose_write(pipe);
        break;
    case 2:
        run_count(run, COVER_REPEAT);
        pipe_repeat(pipe, 1 + (size_t)run_size(run, 65536));
        break;
    default:
        run_count(run, COVER_REPEAT_WRITE);
        pipe_repeat_write(pipe);
        break;
    }
}

static void stall(World *world)
{
    Pipe *pipe = &world->pipe[run_below(world->run, 2)];
    run_count(world->run, COVER_STALL);
    pipe->stalled = !pipe->stalled;
}

void trouble_reconnect(World *world)
{
    port_closed(world, HOST);
    port_opened(world, HOST);
}

typedef struct Trouble {
    const char *words;
    void (*happens)(World *world);
    unsigned weight;
    bool harmless; // the session survives it
} Trouble;

static const Trouble troubles[] = {
    {"a stall begins or ends", stall, 8, true},
    {"the port is lost", port_lost, 1, false},
    {"the guest opens the port again", guest_reopens, 1, false},
    {"the guest's daemon crashes", guest_crashes, 1, false},
    {"the host reconnects", host_reconnects, 1, false},
    {"the host's daemon crashes", host_crashes, 1, false},
    {"the guest is reset", guest_is_reset, 1, false},
    {"a snapshot is taken or restored", snapshot_or_restore, 4, false},
    {"what the guest opened is undone", undo, 2, false},
    {"the port loses or repeats bytes", spoil, 3, false},
};

void trouble_make(World *world)
{
    Run *run = world->run;
    uint64_t draw = run_below(run, 23);
    const Trouble *trouble = troubles;

    if (!world->end[HOST]->port_open) {
        run_trace(run, "the port is back");
        port_back(world);
        return;
    }
    for (; draw >= trouble->weight; trouble++)
        draw -= trouble->weight;
    run->troubles += !trouble->harmless;
    run_trace(run, "%s", trouble->words);
    trouble->happens(world);
}

static void close_all(World *world, unsigned side)
{
    End *end = world_enter(world, side);
    while (end->count > 0)
        chan_close(end->chans[0], MUX_CODE_CLOSED);
    world_leave(world);
}

// All that the guest opened is closed, and the port has taken what there was to say: what is still
// open has to wait for its RESET.
static void count_paced(World *world)
{
    MuxSessionInfo info;

    mux_session_info(world->end[GUEST]->session, &info);
    if (info.channels > 0 && info.in_flight < MUX_FLIGHT_MAX)
        run_count(world->run, COVER_RESETS_PACED);
}

// The host stands still at first, and runs then. Long enough that a receiver would take it for an
// attack if the sender did not keep to its share.
void trouble_storm(World *world)
{
    Run *run = world->run;

    while (!world->end[GUEST]->told_up || !world->end[HOST]->told_up) {
        world_pump(world, GUEST);
        world_pump(world, HOST);
    }
    for (unsigned i = 0; i < 150; i++) {
        End *guest = world_enter(world, GUEST);
        for (unsigned k = 0; k < 600 && end_open(guest); k++) {
        }
        world_leave(world);
        world_pump(world, GUEST);
        close_all(world, GUEST);
        world_pump(world, GUEST);
        count_paced(world);
        run->now_us += 100000;
        if (i >= 75) {
            world_pump(world, HOST);
            close_all(world, HOST);
            world_pump(world, HOST);
        }
    }
}
