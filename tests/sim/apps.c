// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "apps.h"

#include <string.h>

static void open_badly(End *end)
{
    static const char *const names[] = {"", "-x", ".x", "a b", ":x", "a\n", "a:\n", "\xc3\xa4"};
    MuxChannel *mux;
    const char *name = names[run_below(end->run, sizeof(names) / sizeof(names[0]))];
    int r =
        mux_session_open(end->session, &(MuxOpening){.name = name, .length = strlen(name)}, &mux);

    run_check(end->run, r == MUX_OPEN_NAME, "a bad name was taken");
    run_count(end->run, COVER_OPEN_NAME);
}

static void count_close(const Chan *chan)
{
    run_count(chan->end->run, chan->dead        ? COVER_CLOSE_DEAD
                              : chan_over(chan) ? COVER_CLOSE_DONE
                              : chan->open      ? COVER_CLOSE_OPEN
                              : chan->opener    ? COVER_CLOSE_OPENING
                                                : COVER_REFUSE);
}

static void close_one(Chan *chan)
{
    count_close(chan);
    chan_close(chan, (MuxCode)run_below(chan->end->run, MUX_CODES));
}

static void open_some(End *end, const Habits *habits)
{
    Run *run = end->run;

    if (run_chance(run, 3))
        open_badly(end);
    for (unsigned i = 0; i < habits->burst && end->count < habits->most; i++) {
        Chan *chan = end_open(end);
        if (!chan)
            return;
        if (run_chance(run, 50))
            chan_send(chan, run_size(run, habits->bytes), run_chance(run, 20));
        if (run_chance(run, habits->impatient / 4)) {
            run_count(run, COVER_CLOSE_UNSENT);
            chan_close(chan, MUX_CODE_CLOSED);
        }
    }
}

static void act_before_open(Chan *chan, const Habits *habits)
{
    Run *run = chan->end->run;

    if (run_chance(run, habits->impatient)) {
        if (!chan->stop_sent && run_chance(run, 50))
            chan_stop(chan);
        else
            close_one(chan);
    } else if (!chan->opener && run_chance(run, 60)) {
        chan_accept(chan);
        if (run_chance(run, 50))
            chan_send(chan, run_size(run, habits->bytes), false);
    }
}

static void act_open(Chan *chan, const Habits *habits)
{
    Run *run = chan->end->run;
    uint64_t what = run_below(run, 100);

    if (what < habits->impatient / 2)
        close_one(chan);
    else if (what < habits->impatient && !chan->stop_sent)
        chan_stop(chan);
    else if (chan_over(chan))
        close_one(chan);
    else if (what < 45)
        chan_consume(chan, run_size(run, 1 << 20));
    else if (what < 55)
        chan_consume(chan, UINT64_MAX);
    else if (chan_may_send(chan) && !chan->wants_fin)
        chan_send(chan, run_size(run, habits->bytes), what > 92);
    else if (chan_may_send(chan))
        chan_send(chan, 0, true);
}

static void act_dead(Chan *chan)
{
    Run *run = chan->end->run;

    if (run_chance(run, 30))
        chan_consume(chan, run_size(run, 1 << 20));
    else if (run_chance(run, 50))
        close_one(chan);
}

void apps_act(End *end, const Habits *habits)
{
    if (run_chance(end->run, 8)) {
        share_act(end);
        return;
    }
    if (end->count == 0 || run_chance(end->run, habits->opens)) {
        open_some(end, habits);
        return;
    }
    Chan *chan = end->chans[run_below(end->run, end->count)];
    if (chan->dead)
        act_dead(chan);
    else if (!chan->open)
        act_before_open(chan, habits);
    else
        act_open(chan, habits);
}

static void finish_one(Chan *chan)
{
    End *end = chan->end;

    if (!chan->dead && !chan->open) {
        if (!chan->opener) {
            chan_accept(chan);
            chan_send(chan, 50000, true);
        }
        return;
    }
    chan->appetite = 100;
    chan_consume(chan, UINT64_MAX);
    if (chan_may_send(chan))
        chan_send(chan, 0, true);
    if (!chan_over(chan))
        return;
    end->finished += !chan->dead && chan->number >= end->finished_from && chan->got > 0;
    close_one(chan);
}

void apps_answer(End *end)
{
    for (size_t i = end->count; i > 0; i--) {
        Chan *chan = end->chans[i - 1];
        if (chan->opener || chan->open || chan->dead)
            continue;
        if (run_chance(end->run, 20)) {
            close_one(chan);
        } else {
            chan_accept(chan);
            chan_send(chan, run_size(end->run, 50000), true);
        }
    }
}

void apps_finish(End *end)
{
    share_give_all(end);
    for (size_t i = end->count; i > 0; i--)
        finish_one(end->chans[i - 1]);
}
