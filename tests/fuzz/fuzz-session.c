// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One session between an owner and a hostile peer. The input is a script: frames that the peer
// makes, bytes that are none, what the owner does, how time goes on, how the port splits things.

#include "fuzz.h"

#include <string.h>

#include "craft.h"
#include "owner.h"

typedef struct Scene {
    Source source;
    Owner owner;
    Craft craft;
    uint64_t now_us;
    size_t piece; // bytes that the port gives at a time
} Scene;

static void start(Scene *scene)
{
    scene->craft.peer_id = 0x1000 + scene->craft.peer_id % 0x1000 + 1;
    mux_session_start(scene->owner.session, scene->craft.peer_id, scene->now_us);
}

static void restart_if_down(Scene *scene)
{
    if (!mux_session_is_started(scene->owner.session)) {
        start(scene);
        owner_drain(&scene->owner);
    }
}

static void feed(Scene *scene, const uint8_t *bytes, size_t n)
{
    uint8_t *base;

    while (n > 0) {
        size_t space = mux_session_input(scene->owner.session, &base);
        size_t take = n < scene->piece ? n : scene->piece;
        take = take < space ? take : space;
        memcpy(base, bytes, take);
        mux_session_input_done(scene->owner.session, take, scene->now_us);
        owner_drain(&scene->owner);
        restart_if_down(scene);
        bytes += take;
        n -= take;
    }
}

static void raw(Scene *scene)
{
    static const uint8_t zeros[MUX_FRAME_MAX];
    const uint8_t *bytes;
    size_t n = source_bytes(&scene->source, source_8(&scene->source), &bytes);

    if (n % 16 == 15)
        feed(scene, zeros, sizeof(zeros) - n / 16 % 2);
    feed(scene, bytes, n);
}

static void step(Scene *scene)
{
    Source *source = &scene->source;
    uint8_t what = source_8(source);

    if (what < 130) {
        feed(scene, scene->craft.bytes, craft_frame(&scene->craft, source));
    } else if (what < 180) {
        owner_act(&scene->owner, source);
    } else if (what < 210) {
        owner_write(&scene->owner, source);
    } else if (what < 220) {
        raw(scene);
    } else if (what < 230) {
        scene->now_us += source_number(source) << source_8(source) % 24;
        mux_session_tick(scene->owner.session, scene->now_us);
    } else if (what < 235) {
        feed(scene, scene->craft.bytes, craft_odd_hello(&scene->craft, source));
    } else if (what < 240) {
        mux_session_stop(scene->owner.session);
    } else if (what < 245) {
        scene->piece = 1 + source_8(source);
    } else if (!scene->owner.up) {
        feed(scene, scene->craft.bytes, craft_hello(&scene->craft));
    }
    owner_drain(&scene->owner);
    restart_if_down(scene);
    owner_check(&scene->owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const MuxLimits limits[] = {{.channels = 0},
                                       {.channels = 2, .pending = 1, .budget = 1},
                                       {.channels = 16, .budget = 65536}};
    static Scene scene; // for its size; nothing is kept
    uint8_t flags;

    scene = (Scene){.source = {bytes, size}, .now_us = 1, .piece = SIZE_MAX};
    flags = source_8(&scene.source);
    scene.craft.role = flags & 1 ? MUX_GUEST : MUX_HOST;
    scene.craft.id = 0x77;
    scene.craft.lent = scene.owner.lent;
    owner_init(&scene.owner, flags & 1 ? MUX_HOST : MUX_GUEST,
               &limits[flags >> 1 & 1 ? 1 + (flags >> 2 & 1) : 0]);
    scene.owner.manner = flags >> 3;
    start(&scene);
    if (!(flags & 128))
        feed(&scene, scene.craft.bytes, craft_hello(&scene.craft));
    while (scene.source.left > 0)
        step(&scene);
    owner_deinit(&scene.owner);
    return 0;
}
