// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The last phase of a seed. Whatever happened before: both ends come up, everything that is open
// comes to its end, a new channel from each end carries its bytes both ways, and nothing is left.
// When nothing moves any more although it is not over, a wake-up was lost.

#include "proto/limits.h"
#include "trouble.h"

#define MAX_ROUNDS 200000
#define MAX_IDLE   60 // times that nothing happened until some timer
#define BYTES      100000

typedef struct Quiet {
    unsigned rounds, idle;
} Quiet;

static uint64_t deadline(const World *world)
{
    uint64_t guest = end_deadline(world->end[0]), host = end_deadline(world->end[1]);
    return guest < host ? guest : host;
}

static void trace_channels(const World *world)
{
    for (unsigned side = 0; side < 2; side++)
        for (size_t i = 0; i < world->end[side]->count; i++)
            chan_trace(world->end[side]->chans[i]);
}

static bool agreed(const World *world)
{
    MuxSessionInfo guest, host;

    mux_session_info(world->end[0]->session, &guest);
    mux_session_info(world->end[1]->session, &host);
    return world->end[0]->told_up && world->end[1]->told_up && guest.id == host.peer_id &&
           host.id == guest.peer_id;
}

// Lets both ends run once, and time go on when there is nothing else to do.
static void round_of(World *world, Quiet *quiet, const char *aim)
{
    Run *run = world->run;
    bool moved = world_pump(world, 0);

    moved |= world_pump(world, 1);
    run->now_us += 50;
    run->step++;
    run_check(run, ++quiet->rounds < MAX_ROUNDS, "%s: not after %u rounds", aim, MAX_ROUNDS);
    if (moved)
        return;
    if (quiet->idle == MAX_IDLE - 1)
        trace_channels(world);
    // Who waits for the end of a frame that was cut learns of it when as many bytes have followed,
    // and a quiet link may never have that many.
    if (quiet->idle == MAX_IDLE / 2 && world->cut && agreed(world)) {
        run_count(run, COVER_CUT_FRAME);
        trouble_reconnect(world);
    }
    run_check(run, ++quiet->idle < MAX_IDLE, "%s: nothing moves any more", aim);
    run_check(run, deadline(world) != UINT64_MAX, "%s: nobody will wake up", aim);
    if (deadline(world) > run->now_us)
        run->now_us = deadline(world);
}

static void finish_all(World *world)
{
    for (unsigned side = 0; side < 2; side++) {
        apps_finish(world_enter(world, side));
        world_leave(world);
    }
}

static bool all_closed(const World *world)
{
    MuxSessionInfo guest, host;

    mux_session_info(world->end[0]->session, &guest);
    mux_session_info(world->end[1]->session, &host);
    return world->end[0]->count + world->end[1]->count + guest.channels + host.channels == 0;
}

// A channel from one end to the other. A rolled back session may be noticed only now; then again.
static void fresh_channel(World *world, unsigned side, Quiet *quiet)
{
    Run *run = world->run;
    uint32_t from = run->ledger.count;

    for (unsigned tries = 0; tries < 10; tries++) {
        world->end[0]->finished = world->end[1]->finished = 0;
        world->end[0]->finished_from = world->end[1]->finished_from = from;
        while (!agreed(world) || !all_closed(world)) {
            round_of(world, quiet, "up again");
            finish_all(world);
        }
        Chan *chan = end_open(world_enter(world, side));
        run_check(run, chan, "no channel can be opened");
        chan_send(chan, BYTES, true);
        world_leave(world);
        while (!all_closed(world)) {
            round_of(world, quiet, "a new channel");
            finish_all(world);
        }
        if (world->end[0]->finished == 1 && world->end[1]->finished == 1)
            return;
    }
    run_fail(run, "no new channel works");
}

static bool acknowledged(const End *end)
{
    MuxSessionInfo info;
    mux_session_info(end->session, &info);
    return info.in_flight < MUX_FLIGHT_MAX / 2;
}

// Each slot is back, the newest notices are there, and what was read is acknowledged.
static void settle(World *world, Quiet *quiet)
{
    const End *guest = world->end[0], *host = world->end[1];

    while (!share_is_quiet(guest, host) || !share_is_quiet(host, guest) || !acknowledged(guest) ||
           !acknowledged(host))
        round_of(world, quiet, "slots, notices and acknowledgements");
}

// Nothing may be left of what was.
static void check_nothing_left(const World *world)
{
    for (unsigned side = 0; side < 2; side++) {
        MuxSessionInfo info;
        mux_session_info(world->end[side]->session, &info);
        run_check(world->run, info.channels == 0 && info.budget_used == 0,
                  "%u channels and %ju bytes of the budget are left", info.channels,
                  (uintmax_t)info.budget_used);
    }
}

void world_quiet(World *world)
{
    Quiet quiet = {0};
    Run *run = world->run;

    run_trace(run, "quiet");
    run->quiet = true;
    run->starved = false;
    for (unsigned side = 0; side < 2; side++) {
        pipe_calm(&world->pipe[side]);
        end_port_opened(world_enter(world, side));
        world_leave(world);
    }
    while (!agreed(world))
        round_of(world, &quiet, "both ends up");
    while (!all_closed(world)) {
        finish_all(world);
        round_of(world, &quiet, "everything closed");
    }
    fresh_channel(world, 0, &quiet);
    fresh_channel(world, 1, &quiet);
    settle(world, &quiet);
    check_nothing_left(world);
    run_trace(run, "over after %u rounds, %u of them idle", quiet.rounds, quiet.idle);
}
