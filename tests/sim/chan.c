// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "chan.h"

#include "proto/limits.h"

Entry *chan_entry(const Chan *chan)
{
    return ledger_entry(&chan->end->run->ledger, chan->number);
}

static unsigned peer(const Chan *chan)
{
    return !chan->end->side;
}

bool chan_may_send(const Chan *chan)
{
    return chan->open && !chan->dead && !chan->fin_sent && !chan->stop_got;
}

bool chan_over(const Chan *chan)
{
    return chan->dead || ((chan->fin_sent || chan->stop_got) && chan->fin_got);
}

// A guest that was rolled back uses the ids that it gave out in the life that was undone once more.
// A RESET that refuses one of that life's channels has no nonce: it is taken for an answer to this
// one, as PROTOCOL.md says.
static bool refused_for_undone(const Chan *chan, uint32_t code)
{
    const End *end = chan->end;
    const Ledger *ledger = &end->run->ledger;
    const Entry *entry = chan_entry(chan);

    if (!end->torn || end->side != 0 || !chan->opener || chan->open || entry->closed[peer(chan)])
        return false;
    for (uint32_t i = chan->number; i > 0; i--) {
        const Entry *other = ledger_entry(ledger, i - 1);
        if (other->undone && other->closed[peer(chan)] && other->code[peer(chan)] == code &&
            other->id == entry->id && other->guest_id == entry->guest_id &&
            other->host_id == entry->host_id)
            return true;
    }
    return false;
}

// --- events
// ---------------------------------------------------------------------------------------

static void on_accept(Chan *chan)
{
    Run *run = chan->end->run;

    run_check(run, chan->opener && !chan->open, "ACCEPT of a channel that does not wait for it");
    run_check(run, chan_entry(chan)->accepted, "ACCEPT of channel %u that was not sent",
              chan->number);
    run_count(run, COVER_ACCEPT);
    chan->open = true;
}

static void on_data(Chan *chan, const MuxEvent *event)
{
    Run *run = chan->end->run;
    const Entry *entry = chan_entry(chan);

    run_count(run, COVER_DATA);
    if (!event->slot && event->size == MUX_PAYLOAD_MAX)
        run_count(run, COVER_FULL_DATA);
    run_check(run, chan->open && !chan->fin_got, "DATA of a channel that has none to come");
    run_check(run, !chan->stop_sent, "DATA after stop");
    run_check(run, event->size > 0, "DATA of no bytes");
    run_check(run, chan->got + event->size <= entry->sent[peer(chan)],
              "channel %u got %ju bytes of %ju", chan->number, (uintmax_t)(chan->got + event->size),
              (uintmax_t)entry->sent[peer(chan)]);
    run_check(run, ledger_matches(chan->number, peer(chan), chan->got, event->data, event->size),
              "channel %u got wrong bytes at %ju", chan->number, (uintmax_t)chan->got);
    share_data(chan, event, chan->got);
    chan->got += event->size;
    if (run_chance(run, chan->appetite))
        chan_consume(chan, chan->got - chan->consumed);
}

static void on_fin(Chan *chan)
{
    Run *run = chan->end->run;
    const Entry *entry = chan_entry(chan);

    run_count(run, COVER_FIN);
    run_check(run, chan->open && !chan->fin_got, "FIN of a channel that has none to come");
    run_check(run, entry->fin[peer(chan)] || entry->stopped[chan->end->side],
              "FIN that was not sent");
    if (!chan->stop_sent && !entry->torn)
        run_check(run, chan->got == entry->fin_at[peer(chan)],
                  "FIN of channel %u after %ju of %ju bytes", chan->number, (uintmax_t)chan->got,
                  (uintmax_t)entry->fin_at[peer(chan)]);
    chan->fin_got = true;
}

static void on_stop(Chan *chan)
{
    Run *run = chan->end->run;
    Entry *entry = chan_entry(chan);

    run_count(run, COVER_STOP);
    run_check(run, chan->open && !chan->fin_sent && !chan->stop_got,
              "STOP of a channel that does not send");
    run_check(run, entry->stopped[peer(chan)], "STOP that was not sent");
    chan->stop_got = true;
    chan->to_send = 0;
    if (!entry->fin[chan->end->side])
        entry->fin_at[chan->end->side] = chan->sent;
    entry->fin[chan->end->side] = true;
}

static void on_reset(Chan *chan, const MuxEvent *event)
{
    Run *run = chan->end->run;
    const Entry *entry = chan_entry(chan);

    if (event->code == MUX_CODE_LINK_DOWN && !mux_session_is_up(chan->end->session)) {
        run_count(run, COVER_RESET_LINK);
    } else if (refused_for_undone(chan, event->code)) {
        run_count(run, COVER_RESET_UNDONE);
    } else {
        run_count(run, chan->open     ? COVER_RESET_OPEN
                       : chan->opener ? COVER_RESET_OPENING
                                      : COVER_RESET_ASKED);
        // A session refuses by itself when its owner is slow to close what is over.
        if (chan->opener && !chan->open && event->code == MUX_CODE_LIMIT)
            run_count(run, COVER_RESET_FULL);
        else
            // An undone channel that still lives here can get the RESET of the one in its place, if
            // the port lost the OPEN of that.
            run_check(run, entry->closed[peer(chan)] || entry->undone, "RESET that was not sent");
        run_check(run,
                  entry->torn || !entry->closed[peer(chan)] ||
                      entry->code[peer(chan)] == event->code,
                  "RESET with code %u for %u", event->code, entry->code[peer(chan)]);
    }
    chan->dead = true;
}

void chan_event(Chan *chan, const MuxEvent *event)
{
    End *end = chan->end;
    const Entry *entry = chan_entry(chan);

    run_check(end->run, chan->mux && chan->mux == event->channel, "an event of a closed channel");
    run_check(end->run, !chan->dead, "an event of a dead channel");
    if (event->type != MUX_EVENT_RESET)
        run_check(end->run,
                  entry->guest_id == end_guest_id(end) && entry->host_id == end_host_id(end),
                  "an event of another session");

    if (event->type != MUX_EVENT_DATA)
        run_trace(end->run, "%s: event %d of %u", end->side ? "host" : "guest", event->type,
                  chan->number);
    switch (event->type) {
    case MUX_EVENT_ACCEPT:
        on_accept(chan);
        break;
    case MUX_EVENT_DATA:
        on_data(chan, event);
        break;
    case MUX_EVENT_FIN:
        on_fin(chan);
        break;
    case MUX_EVENT_STOP:
        on_stop(chan);
        break;
    case MUX_EVENT_RESET:
        on_reset(chan, event);
        break;
    case MUX_EVENT_NONE:
    case MUX_EVENT_UP:
    case MUX_EVENT_DOWN:
    case MUX_EVENT_REJECT:
    case MUX_EVENT_SILENT:
    case MUX_EVENT_HEARD:
    case MUX_EVENT_OPEN:
    case MUX_EVENT_NOTICE:
        run_fail(end->run, "a session's event with a channel");
    }
}

// --- checks
// ---------------------------------------------------------------------------------------

// A sender may never have more credit than its receiver granted.
static void check_credit(const Chan *chan, const MuxChannelInfo *info)
{
    const Entry *entry = chan_entry(chan);
    const Chan *reader = entry->at[peer(chan)];
    MuxChannelInfo other;

    if (!chan_may_send(chan) || entry->torn || !reader || !reader->mux || reader->dead)
        return;
    mux_channel_info(reader->mux, &other);
    run_check(chan->end->run, info->sent + info->credit <= other.received + other.window,
              "channel %u may send up to %ju and was granted %ju", chan->number,
              (uintmax_t)(info->sent + info->credit), (uintmax_t)(other.received + other.window));
}

uint64_t chan_check(const Chan *chan)
{
    Run *run = chan->end->run;
    MuxChannelInfo info;

    mux_channel_info(chan->mux, &info);
    run_check(run, info.sent == chan->sent, "channel %u sent %ju, and says %ju", chan->number,
              (uintmax_t)chan->sent, (uintmax_t)info.sent);
    run_check(run, info.ours == chan->opener, "whose channel is it?");
    run_check(run, info.consumed <= info.received, "more consumed than received");
    run_check(run, info.credit <= MUX_CREDIT_MAX, "credit went below zero");
    run_check(run, info.window <= MUX_WINDOW_MAX, "a window of %ju", (uintmax_t)info.window);
    if (!chan->stop_sent)
        run_check(run, info.received == chan->got && info.consumed == chan->consumed,
                  "channel %u got %ju and says %ju", chan->number, (uintmax_t)chan->got,
                  (uintmax_t)info.received);
    if (chan->open && !chan->dead && !chan->fin_got && info.window < 4096)
        run_count(run, COVER_WINDOW_FLOOR);
    if (info.window > MUX_WINDOW_START)
        run_count(run, COVER_WINDOW_GREW);
    if (chan_may_send(chan) && chan->to_send > 0 && info.credit == 0)
        run_count(run, COVER_NO_CREDIT);
    check_credit(chan, &info);
    return info.window + info.received - info.consumed;
}

void chan_trace(const Chan *chan)
{
    MuxChannelInfo info;

    mux_channel_info(chan->mux, &info);
    run_trace(chan->end->run,
              "%s: channel %u (id %u %s%s): sent %ju of %ju, credit %ju, got %ju, consumed %ju, "
              "window %ju%s%s%s%s%s",
              chan->end->side ? "host" : "guest", chan->number, info.id, info.state,
              chan->opener ? ", ours" : "", (uintmax_t)chan->sent,
              (uintmax_t)(chan->sent + chan->to_send), (uintmax_t)info.credit, (uintmax_t)chan->got,
              (uintmax_t)chan->consumed, (uintmax_t)info.window, chan->open ? ", open" : "",
              chan->fin_sent ? ", fin sent" : "", chan->fin_got ? ", fin got" : "",
              chan->stop_sent ? ", stop sent" : "", chan->stop_got ? ", stop got" : "");
}

// --- what its owner does
// --------------------------------------------------------------------------

static void finish(Chan *chan)
{
    Entry *entry = chan_entry(chan);

    if (!chan->wants_fin || chan->to_send > 0 || !chan_may_send(chan))
        return;
    entry->fin[chan->end->side] = true;
    entry->fin_at[chan->end->side] = chan->sent;
    chan->fin_sent = true;
    run_trace(chan->end->run, "%s: FIN of %u", chan->end->side ? "host" : "guest", chan->number);
    mux_channel_fin(chan->mux);
}

void chan_accept(Chan *chan)
{
    chan_entry(chan)->accepted = true;
    mux_channel_accept(chan->mux, chan);
    chan->open = true;
}

void chan_send(Chan *chan, uint64_t n, bool then_fin)
{
    if (run_chance(chan->end->run, 20))
        share_choose_path(chan->mux, chan->end->run);
    chan->to_send += n;
    chan->wants_fin = chan->wants_fin || then_fin;
    if (chan->to_send > 0)
        mux_channel_ready(chan->mux);
    else
        finish(chan);
}

static void count_path(Chan *chan, const MuxTurn *turn)
{
    bool slot = turn->slot != MUX_SLOT_NONE;
    Run *run = chan->end->run;

    run_check(run, !slot || chan->end->share.out, "a turn in a region that is not there");
    if (!slot && chan->end->share.out && run->path == MUX_PATH_SHARED)
        run_count(run, COVER_SLOT_REFUSED);
    if (chan->sent > 0 && chan->shared != slot)
        run_count(run, COVER_PATH_CHANGED);
    chan->shared = slot;
}

void chan_turn(Chan *chan, const MuxTurn *turn)
{
    End *end = chan->end;
    size_t n = chan->to_send < turn->size ? (size_t)chan->to_send : turn->size;

    run_check(end->run, turn->channel == chan->mux && chan_may_send(chan),
              "a turn for a channel that does not send");
    run_check(end->run, turn->size > 0, "a turn of no bytes");
    if (n > 0 && !end->run->quiet && run_chance(end->run, 20))
        n = (size_t)run_below(end->run, n);
    count_path(chan, turn);
    if (n == 0)
        run_count(end->run, COVER_TURN_EMPTY);
    else if (n < turn->size)
        run_count(end->run, COVER_TURN_SPLIT);

    ledger_fill(chan->number, end->side, chan->sent, turn->base, n);
    chan->sent += n;
    chan->to_send -= n;
    Entry *entry = chan_entry(chan);
    if (entry->sent[end->side] < chan->sent)
        entry->sent[end->side] = chan->sent;
    // A socket without a byte for now says so, and is ready again later.
    mux_session_turn_done(end->session, turn, n, n > 0 && chan->to_send > 0);
    if (n == 0 && chan->to_send > 0)
        end->hungry = true;
    finish(chan);
}

void chan_consume(Chan *chan, uint64_t n)
{
    if (n > chan->got - chan->consumed)
        n = chan->got - chan->consumed;
    if (n == 0)
        return;
    chan->consumed += n;
    mux_channel_consumed(chan->mux, (size_t)n);
}

void chan_stop(Chan *chan)
{
    if (!chan->open)
        run_count(chan->end->run, COVER_STOP_EARLY);
    run_trace(chan->end->run, "%s: stops %u", chan->end->side ? "host" : "guest", chan->number);
    chan->stop_sent = true;
    chan_entry(chan)->stopped[chan->end->side] = true;
    mux_channel_stop(chan->mux);
}

void chan_close(Chan *chan, MuxCode code)
{
    Entry *entry = chan_entry(chan);

    run_trace(chan->end->run, "%s: closes %u", chan->end->side ? "host" : "guest", chan->number);
    entry->closed[chan->end->side] = true;
    entry->code[chan->end->side] = code;
    entry->at[chan->end->side] = NULL;
    mux_channel_close(chan->mux, code);
    chan->mux = NULL;
    end_forget(chan->end, chan);
}
