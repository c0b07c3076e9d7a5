// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One end's part in shared memory. In the place of the daemons' channel `@memory` stand two
// notices: the end that writes a region offers it, the other end attaches it and answers, and only
// then is it written. What was on its way to an older one has arrived by then.
#pragma once

#include "run.h"

typedef struct End End;
typedef struct Chan Chan;

#define NEWS 3 // notices of things that both ends know

typedef struct Held {
    uint64_t slot;
    const uint8_t *bytes;
    size_t size;
    uint32_t number; // of the channel whose bytes it has, from `position` on
    uint64_t position;
} Held;

typedef struct Share {
    MuxNotice offer, answer, news[NEWS];
    uint64_t said[NEWS], heard[NEWS]; // the newest, in this session
    uint32_t out, in;                 // epochs of what is attached, or 0
    uint64_t told, late;              // bytes in slots that came in events, and that did not
    Held *held;                       // what its readers have not given back
    size_t count, room;
} Share;

void share_init(End *end);
void share_deinit(End *end);
// A session begins, or is over.
void share_up(End *end);
void share_down(End *end);
// The end is what it was, and its regions are not there any more.
void share_restored(End *end);

void share_notice(End *end, const MuxNotice *untrusted_notice);
// Bytes came in a slot, at this position of the channel.
void share_data(Chan *chan, const MuxEvent *event, uint64_t position);
// Chooses how a channel's bytes go.
void share_choose_path(MuxChannel *mux, Run *run);

// Something that a daemon or a reader may do.
void share_act(End *end);
void share_give_all(End *end);

void share_check(End *end);
// Nobody has a slot any more, and nobody waits for news.
bool share_is_quiet(const End *end, const End *peer);

void share_free_regions(Run *run);
