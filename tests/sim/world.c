// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Each seed draws what kind of world it is: how the port behaves, how tight the limits are, what
// the apps are like, and how much trouble there is; then it takes its steps.

#include "world.h"

#include "trouble.h"

#define GREETING_US 400000

End *world_enter(World *world, unsigned side)
{
    memory_use(side == 0 ? world->arena : NULL);
    return world->end[side];
}

void world_leave(World *world)
{
    (void)world;
    memory_use(NULL);
}

bool world_pump(World *world, unsigned side)
{
    End *end = world_enter(world, side);
    bool moved = end_pump(end, &world->pipe[!side], &world->pipe[side]);
    world_leave(world);
    return moved;
}

static void act(World *world, unsigned side)
{
    End *end = world_enter(world, side);
    apps_act(end, &world->habits[side]);
    world_leave(world);
}

static void check(World *world, unsigned side)
{
    end_check(world_enter(world, side));
    world_leave(world);
}

// An end whose greeting is not answered in time greets again, which may cost one more session. Less
// than the shortest such time is no trouble.
static void greeting_takes(World *world)
{
    Run *run = world->run;

    if (world->end[0]->told_up && world->end[1]->told_up)
        world->agreed_us = run->now_us;
    else if (run->now_us - world->agreed_us >= GREETING_US)
        run->troubles++;
}

static void pass_time(World *world)
{
    Run *run = world->run;
    uint64_t kind = run_below(run, 1000);

    if (kind < 900) {
        run->now_us += run_size(run, 4000);
    } else if (kind < 980) {
        run->now_us += run_below(run, 3000000);
    } else {
        run->now_us += kind < 998 ? run_below(run, 25000000) : 3600000000u;
        run_count(run, COVER_LONG_PAUSE);
    }
}

static void step(World *world)
{
    Run *run = world->run;
    uint64_t what = run_below(run, 100);

    if (run_chance(run, 1))
        world->pipe[0].stalled = world->pipe[1].stalled = false;
    if (run_below(run, 1000) < world->trouble)
        trouble_make(world);
    else if (what < 45)
        (void)world_pump(world, what % 2);
    else if (what < 95)
        act(world, what % 2);
    else
        pass_time(world);
    greeting_takes(world);
}

// --- kinds of worlds
// --------------------------------------------------------------------------------

static MuxLimits choose_limits(Run *run)
{
    switch (run_below(run, 4)) {
    case 0: // next to nothing
        return (MuxLimits){.channels = 1 + (uint32_t)run_below(run, 3), .pending = 1, .budget = 1};
    case 1: // floors, RECLAIM, shrinking
        return (MuxLimits){
            .channels = 8, .pending = 4, .budget = 8 * 4 * 256 + run_below(run, 200000)};
    case 2:
        return (MuxLimits){.channels = 64, .pending = 16, .budget = 1 << 20};
    default:
        return (MuxLimits){.channels = 256, .pending = 256, .budget = 16 << 20};
    }
}

static Habits choose_habits(Run *run)
{
    return (Habits){
        .opens = 2 + (unsigned)run_below(run, 30),
        .most = 1 + (unsigned)run_below(run, 30),
        .burst = 1 + (unsigned)run_below(run, 4),
        .bytes = run_chance(run, 50) ? 1 << 20 : 5000,
        .impatient = (unsigned)run_below(run, 20),
    };
}

// Thousands of channels.
static void choose_crowd(World *world)
{
    for (unsigned side = 0; side < 2; side++) {
        world->limits[side].channels = 4096;
        world->limits[side].pending = 1024;
        world->limits[side].budget = 0;
        world->habits[side] = (Habits){30, 3000, 400, 2000, 5};
    }
    world->trouble = 3;
    world->storm = run_chance(world->run, 30);
}

static void choose(World *world)
{
    Run *run = world->run;
    static const unsigned troubles[] = {0, 2, 5, 15, 50};

    world->steps = 200 + (unsigned)run_below(run, 1800);
    world->trouble = troubles[run_below(run, 5)];
    run->starved = run_chance(run, 5);
    run->troubles = run->starved;
    run->path = (unsigned)run_below(run, MIXED + 1);
    for (unsigned side = 0; side < 2; side++) {
        world->limits[side] = choose_limits(run);
        world->limits[side].seed = run_random(run);
        world->limits[side].without = run_chance(run, 10) ? MUX_FEATURE_MEMORY : 0;
        world->habits[side] = choose_habits(run);
        pipe_choose(&world->pipe[side], side == 0);
    }
    if (run_chance(run, 1))
        choose_crowd(world);
    else if (run_chance(run, 30) && world->trouble > 0)
        world->arena = arena_new();
}

static void begin(World *world)
{
    for (unsigned side = 0; side < 2; side++) {
        world_enter(world, side);
        world->end[side] = end_new(world->run, side, &world->limits[side]);
        world_leave(world);
    }
    for (unsigned side = 0; side < 2; side++) {
        end_port_opened(world_enter(world, side));
        world_leave(world);
    }
}

static void finish(World *world)
{
    for (unsigned side = 0; side < 2; side++) {
        end_free(world_enter(world, side));
        world_leave(world);
        pipe_deinit(&world->pipe[side]);
    }
    arena_free(world->arena);
    share_free_regions(world->run);
    ledger_deinit(&world->run->ledger);
}

void world_run(Run *run)
{
    World world = {.run = run, .agreed_us = run->now_us};
    size_t pieces = memory_pieces();

    memory_begin();
    for (unsigned side = 0; side < 2; side++)
        pipe_init(&world.pipe[side], run);
    choose(&world);
    begin(&world);
    if (world.storm)
        trouble_storm(&world);
    for (; run->step < world.steps; run->step++) {
        step(&world);
        if (run->step % 8 == 0) {
            check(&world, 0);
            check(&world, 1);
        }
    }
    if (run->troubles == 0)
        run_count(run, COVER_CALM_SEED);
    world_quiet(&world);
    finish(&world);
    run_check(run, memory_pieces() == pieces, "%zu pieces of memory are left",
              memory_pieces() - pieces);
}
