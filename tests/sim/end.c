// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "end.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "memory.h"
#include "proto/frame.h"
#include "proto/limits.h"

#define ACCOUNT (128 * 1024) // bytes
#define STARVED 40           // one allocation in so many fails

static uint64_t clock_of(const End *end)
{
    return end->run->now_us + (uint64_t)end->clock_us;
}

static const char *name_of(const End *end)
{
    return end->side ? "host" : "guest";
}

static uint64_t id_of(const End *end, bool of_peer)
{
    MuxSessionInfo info;
    mux_session_info(end->session, &info);
    return of_peer ? info.peer_id : info.id;
}

uint64_t end_guest_id(const End *end)
{
    return id_of(end, end->side == 1);
}

uint64_t end_host_id(const End *end)
{
    return id_of(end, end->side == 0);
}

// --- its channels
// ---------------------------------------------------------------------------------

static void append(Chan ***list, size_t *count, size_t *room, Chan *chan)
{
    if (*count == *room) {
        *room = *room * 2 + 8;
        Chan **larger = malloc(*room * sizeof(Chan *)); // not realloc(): see memory.h
        if (!larger)
            abort();
        if (*count > 0)
            memcpy(larger, *list, *count * sizeof(Chan *));
        free(*list);
        *list = larger;
    }
    (*list)[(*count)++] = chan;
}

Chan *end_adopt(End *end, uint32_t number, bool opener, MuxChannel *mux)
{
    static const unsigned appetites[] = {0, 5, 50, 100, 100};
    Chan *chan = malloc(sizeof(*chan));
    if (!chan)
        abort();
    *chan = (Chan){.end = end,
                   .mux = mux,
                   .slot = end->count,
                   .number = number,
                   .opener = opener,
                   .appetite = appetites[run_below(end->run, 5)]};
    append(&end->chans, &end->count, &end->room, chan);
    chan_entry(chan)->at[end->side] = chan;
    return chan;
}

void end_forget(End *end, Chan *chan)
{
    Chan *last = end->chans[--end->count];
    end->chans[chan->slot] = last;
    last->slot = chan->slot;
    append(&end->closed, &end->closed_count, &end->closed_room, chan);
}

static void count_open(Run *run, int r)
{
    run_count(run, r == 0                ? COVER_OPENED
                   : r == MUX_OPEN_DOWN  ? COVER_OPEN_DOWN
                   : r == MUX_OPEN_LIMIT ? COVER_OPEN_LIMIT
                   : r == MUX_OPEN_NAME  ? COVER_OPEN_NAME
                                         : COVER_OPEN_MEMORY);
}

// No two channels have the same, and what is in the ledger is not rolled back.
static uint32_t nonce_of(uint32_t number)
{
    return number * 0x9e3779b1u;
}

// Every third one does not say who opens it.
static MuxCaller caller_of(uint32_t number)
{
    MuxCaller caller = {.known = number % 3 > 0, .uid = number, .gid = ~number, .program = "sim"};

    return caller.known ? caller : (MuxCaller){0};
}

static bool same_caller(const MuxCaller *a, const MuxCaller *b)
{
    return a->known == b->known && a->uid == b->uid && a->gid == b->gid &&
           strcmp(a->program, b->program) == 0;
}

Chan *end_open(End *end)
{
    Run *run = end->run;
    char name[LEDGER_NAME_MAX];
    MuxChannel *mux = NULL;

    uint32_t number = ledger_add(&run->ledger, end->side, end_guest_id(end), end_host_id(end));
    Chan *chan = end_adopt(end, number, true, NULL);
    size_t length = ledger_name(number, name);
    const MuxCaller caller = caller_of(number);
    const MuxOpening opening = {.name = name,
                                .length = length,
                                .nonce = nonce_of(number),
                                .caller = &caller,
                                .account = number % 2 ? &end->account : NULL,
                                .user = chan};
    memory_starve(run->starved ? STARVED : 0);
    int r = mux_session_open(end->session, &opening, &mux);
    memory_starve(0);
    count_open(run, r);
    if (r == 0) {
        MuxChannelInfo info;
        mux_channel_info(mux, &info);
        chan_entry(chan)->id = info.id;
        chan->mux = mux;
        run_trace(run, "%s: opens %u", name_of(end), number);
        share_choose_path(mux, run);
        return chan;
    }
    run_check(run, r != -ENOMEM || run->starved, "no memory");
    run_check(run, r != MUX_OPEN_NAME, "a good name was refused");
    chan_entry(chan)->at[end->side] = NULL;
    end_forget(end, chan);
    return NULL;
}

// --- events
// ---------------------------------------------------------------------------------------

static void on_open(End *end, const MuxEvent *event)
{
    Run *run = end->run;
    uint32_t number = ledger_number(&run->ledger, event->data, event->size);

    run_count(run, COVER_OPEN);
    run_check(run, event->channel && !event->user, "an OPEN without a channel, or of a known one");
    run_check(run, number != UINT32_MAX, "OPEN with a name that nobody said");
    Entry *entry = ledger_entry(&run->ledger, number);
    const MuxCaller caller = caller_of(number);
    run_check(run, same_caller(event->caller, &caller), "OPEN by another caller");
    run_check(run, entry->opener != end->side, "OPEN of one's own channel");
    run_check(run, !entry->at[end->side] || entry->torn, "OPEN of a channel that is open");
    run_check(run, entry->guest_id == end_guest_id(end) && entry->host_id == end_host_id(end),
              "OPEN of another session");
    Chan *chan = end_adopt(end, number, false, event->channel);
    mux_channel_set_user(event->channel, chan);
    share_choose_path(event->channel, run);
    run_trace(run, "%s: OPEN of %u", name_of(end), number);
}

static void on_down(End *end, const MuxEvent *event)
{
    static const CoverageItem items[] = {
        [MUX_REASON_PORT] = COVER_DOWN_PORT,     [MUX_REASON_PEER] = COVER_DOWN_PEER,
        [MUX_REASON_STEP] = COVER_DOWN_STEP,     [MUX_REASON_PROTOCOL] = COVER_DOWN_PROTOCOL,
        [MUX_REASON_MEMORY] = COVER_DOWN_MEMORY,
    };
    Run *run = end->run;

    run_trace(run, "%s: DOWN, reason %d %s", name_of(end), event->reason,
              event->detail ? event->detail : "");
    run_check(run, event->reason != MUX_REASON_NONE && event->reason != MUX_REASON_IDS,
              "DOWN for no reason");
    // Who was rolled back may break a rule before his sequence numbers tell.
    run_check(run, event->reason != MUX_REASON_PROTOCOL || end->torn, "%s: %s", name_of(end),
              event->detail);
    if (event->detail && strcmp(event->detail, "ACCEPT of another OPEN") == 0)
        run_count(run, COVER_DOWN_NONCE);
    run_check(run, event->reason != MUX_REASON_MEMORY || run->starved, "no memory");
    run_check(run, run->troubles > 0, "DOWN without any trouble, reason %d", event->reason);
    run_check(run, end->told_up, "DOWN without UP");
    run_count(run, items[event->reason]);
    end->told_up = false;
    share_down(end);
    for (size_t i = 0; i < end->count; i++)
        run_check(run, chan_over(end->chans[i]), "channel %u outlived its session",
                  end->chans[i]->number);
}

static void on_event(End *end, const MuxEvent *event)
{
    Run *run = end->run;

    switch (event->type) {
    case MUX_EVENT_UP:
        run_trace(run, "%s: UP %jx %jx", name_of(end), (uintmax_t)end_guest_id(end),
                  (uintmax_t)end_host_id(end));
        run_count(run, COVER_UP);
        run_check(run, !end->told_up, "UP twice");
        end->told_up = true;
        end->knows_silent = false;
        share_up(end);
        return;
    case MUX_EVENT_DOWN:
        on_down(end, event);
        return;
    case MUX_EVENT_REJECT:
        run_fail(run, "%s rejects: %s", name_of(end), event->detail);
    case MUX_EVENT_SILENT:
    case MUX_EVENT_HEARD:
        run_count(run, event->type == MUX_EVENT_SILENT ? COVER_SILENT : COVER_HEARD);
        run_check(run, end->knows_silent == (event->type == MUX_EVENT_HEARD), "silent twice");
        end->knows_silent = event->type == MUX_EVENT_SILENT;
        return;
    case MUX_EVENT_OPEN:
        on_open(end, event);
        return;
    case MUX_EVENT_ACCEPT:
    case MUX_EVENT_DATA:
    case MUX_EVENT_FIN:
    case MUX_EVENT_STOP:
    case MUX_EVENT_RESET:
        run_check(run, event->user, "an event of a channel that nobody has");
        chan_event(event->user, event);
        return;
    case MUX_EVENT_NOTICE:
        run_check(run, event->notice && !event->channel, "a notice of a channel");
        share_notice(end, event->notice);
        return;
    case MUX_EVENT_NONE:
        break;
    }
    run_fail(run, "an event of no type");
}

static bool drain(End *end)
{
    MuxEvent event;
    bool any = false;

    memory_starve(end->run->starved ? STARVED : 0);
    while (mux_session_next_event(end->session, &event)) {
        memory_starve(0);
        on_event(end, &event);
        any = true;
        memory_starve(end->run->starved ? STARVED : 0);
    }
    memory_starve(0);
    run_check(end->run, event.type == MUX_EVENT_NONE, "an event that is none");
    return any;
}

// --- the port
// -------------------------------------------------------------------------------------

static void start(End *end)
{
    uint64_t id = run_random(end->run) | 1;
    run_trace(end->run, "%s: starts as %jx", name_of(end), (uintmax_t)id);
    end->unframed = 0;
    end->torn = false;
    mux_session_start(end->session, id, clock_of(end));
}

void end_port_opened(End *end)
{
    if (end->port_open)
        return;
    end->port_open = true;
    start(end);
}

void end_port_closed(End *end)
{
    if (!end->port_open)
        return;
    end->port_open = false;
    mux_session_stop(end->session);
    drain(end);
    run_check(end->run, !end->told_up, "no DOWN after stop");
}

End *end_new(Run *run, unsigned side, const MuxLimits *limits)
{
    End *end = calloc(1, sizeof(*end));
    if (!end)
        abort();
    *end = (End){.run = run,
                 .side = side,
                 .limits = *limits,
                 .account = {.limit = ACCOUNT},
                 .finished_from = UINT32_MAX};
    if (mux_session_new(side ? MUX_HOST : MUX_GUEST, limits, &end->session) != 0)
        abort();
    share_init(end);
    return end;
}

void end_free(End *end)
{
    if (!end)
        return;
    while (end->count > 0) {
        Chan *chan = end->chans[0];
        chan_entry(chan)->at[end->side] = NULL;
        mux_channel_close(chan->mux, MUX_CODE_CLOSED);
        chan->mux = NULL;
        end_forget(end, chan);
    }
    mux_session_free(end->session);
    share_deinit(end);
    for (size_t i = 0; i < end->closed_count; i++)
        free(end->closed[i]);
    free(end->closed);
    free(end->chans);
    free(end);
}

static bool receive(End *end, Pipe *in)
{
    bool moved = false;
    uint8_t *base;

    // A greeting is long: whoever reads a byte at a time would never have a session.
    for (unsigned i = end->told_up ? 64 : 20000; i > 0; i--) {
        size_t space = mux_session_input(end->session, &base);
        run_check(end->run, space > 0, "no space for input");
        size_t n = pipe_read(in, base, space);
        if (n == 0)
            break;
        moved = true;
        mux_session_input_done(end->session, n, clock_of(end));
        drain(end);
        if (!mux_session_is_started(end->session))
            break;
    }
    return moved;
}

static void give_turns(End *end)
{
    MuxTurn turn;
    while (mux_session_next_turn(end->session, &turn)) {
        run_check(end->run, turn.user, "a turn for a channel that nobody has");
        chan_turn(turn.user, &turn);
    }
}

static void look_at_frame(End *end, const MuxFrame *frame)
{
    run_count(end->run, COVER_FRAME_HELLO + (frame->type - MUX_FRAME_HELLO));
    run_trace(end->run, "%s: sends %s, id %u, sequence %u", name_of(end),
              mux_frame_kind(frame->type)->name, frame->channel, frame->sequence);
}

// Counts the frames of a batch that is about to be written for the first time.
static void look_at_batch(End *end, const uint8_t *bytes, size_t n)
{
    static const uint8_t zeros[MUX_HEADER_SIZE];
    uint64_t key = mux_frame_key(end_guest_id(end), end_host_id(end));
    MuxFrame frame;
    size_t i = end->unframed;

    while (i < n) {
        if (n - i >= MUX_FRAME_MAX && memcmp(bytes + i, zeros, sizeof(zeros)) == 0) {
            run_count(end->run, COVER_ZEROS);
            i += MUX_FRAME_MAX;
            continue;
        }
        run_check(end->run,
                  n - i >= MUX_HEADER_SIZE && (mux_frame_decode(bytes + i, key, &frame) == 0 ||
                                               mux_frame_decode(bytes + i, 0, &frame) == 0),
                  "what is sent is no frame");
        run_check(end->run, n - i >= mux_frame_size(frame.length), "what is sent is half a frame");
        look_at_frame(end, &frame);
        i += mux_frame_size(frame.length);
    }
    end->unframed = n;
}

static bool transmit(End *end, Pipe *out)
{
    const uint8_t *base;
    bool moved = false;

    for (unsigned i = 0; i < 16; i++) {
        give_turns(end);
        size_t n = mux_session_output(end->session, &base);
        if (n == 0)
            break;
        look_at_batch(end, base, n);
        size_t done = pipe_write(out, base, n);
        if (done == 0) {
            run_count(end->run, COVER_PUSH_BACK);
            break;
        }
        moved = true;
        mux_session_output_done(end->session, done);
        end->unframed = n - done;
        if (done < n) {
            run_count(end->run, COVER_WRITE_PART);
            break;
        }
    }
    return moved;
}

bool end_pump(End *end, Pipe *in, Pipe *out)
{
    bool moved = false;

    if (!end->port_open)
        return false;
    mux_session_tick(end->session, clock_of(end));
    moved |= drain(end);
    moved |= receive(end, in);
    if (!mux_session_is_started(end->session)) {
        start(end);
        moved |= drain(end);
    }
    return transmit(end, out) || moved;
}

uint64_t end_deadline(const End *end)
{
    uint64_t deadline = end->port_open ? mux_session_deadline(end->session) : UINT64_MAX;
    return deadline == UINT64_MAX ? deadline : deadline - (uint64_t)end->clock_us;
}

// --- checks
// ---------------------------------------------------------------------------------------

static void check_limits(const End *end)
{
    uint32_t asked = 0, theirs = 0;

    for (size_t i = 0; i < end->count; i++) {
        const Chan *chan = end->chans[i];
        asked += !chan->opener && !chan->open && !chan->dead;
        theirs += !chan->opener && !chan_over(chan);
    }
    if (end->limits.channels) {
        run_check(end->run, theirs <= end->limits.channels, "more channels than the limit");
        run_check(end->run, asked <= end->limits.pending,
                  "more opens to be answered than the limit");
    }
}

void end_check(End *end)
{
    MuxSessionInfo info;
    uint64_t held = 0;

    mux_session_info(end->session, &info);
    run_check(end->run, end->told_up == mux_session_is_up(end->session), "up, or not?");
    for (size_t i = 0; i < end->count; i++)
        held += chan_check(end->chans[i]);
    // An open that the session itself refused counts as in use until that is said, beyond the
    // budget.
    run_check(end->run, held <= info.budget && held <= info.budget_used,
              "%s: %ju bytes granted, %ju in use, of %ju", name_of(end), (uintmax_t)held,
              (uintmax_t)info.budget_used, (uintmax_t)info.budget);
    run_check(end->run, end->account.used <= (end->count ? end->account.limit : 0),
              "%s: %ju bytes in the account, of %zu channels", name_of(end),
              (uintmax_t)end->account.used, end->count);
    if (info.in_flight >= MUX_FLIGHT_MAX)
        run_count(end->run, COVER_FULL_FLIGHT);
    if (info.channels >= 1000)
        run_count(end->run, COVER_CROWD);
    check_limits(end);
    share_check(end);
}
