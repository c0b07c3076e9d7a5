// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// guestmux: two sessions, one channel. Each end does all that it does in the daemons: the receiver
// gives credit and acknowledges, the sender takes that in.

#include <err.h>
#include <string.h>

#include "frames-layer.h"
#include "frames.h"
#include "proto/session.h"

#define WINDOW_ENOUGH (256 << 10) // twice a round, which is then never out of credit

static MuxSession *guest, *host; // which send, and receive
static MuxChannel *channel, *taken;
static size_t size;

static void feed(MuxSession *session, const uint8_t *bytes, size_t n)
{
    uint8_t *base;
    size_t space = mux_session_input(session, &base);

    if (n > space)
        errx(1, "no room for what comes");
    frames_copy(base, bytes, n);
    mux_session_input_done(session, n, 1);
}

static void write_all(MuxSession *session, Wire *wire)
{
    const uint8_t *base;
    size_t n;

    while ((n = mux_session_output(session, &base)) > 0) {
        frames_write(wire, base, n);
        mux_session_output_done(session, n);
    }
}

// Not data: the sender gets none, and the receiver not before it has taken the channel.
static void take_events(MuxSession *session)
{
    MuxEvent event;

    while (mux_session_next_event(session, &event)) {
        if (event.type == MUX_EVENT_OPEN) {
            taken = event.channel;
            mux_channel_accept(taken, NULL);
        } else if (event.type != MUX_EVENT_UP && event.type != MUX_EVENT_ACCEPT) {
            errx(1, "an event that should not happen");
        }
    }
}

static void take_back(Wire *back)
{
    feed(guest, back->bytes, back->size);
    back->size = 0;
    take_events(guest);
}

static void settle(Wires *wires)
{
    do {
        write_all(guest, &wires->out);
        feed(host, wires->out.bytes, wires->out.size);
        wires->out.size = 0;
        take_events(host);
        write_all(host, &wires->back);
        take_back(&wires->back);
        write_all(guest, &wires->out);
    } while (wires->out.size > 0);
}

static size_t take_data(uint8_t *sink)
{
    MuxEvent event;
    size_t came = 0;

    while (mux_session_next_event(host, &event)) {
        if (event.type != MUX_EVENT_DATA)
            errx(1, "an event that should not happen");
        if (sink)
            frames_copy(sink, event.data, event.size);
        came += event.size;
    }
    // As in the daemons, pieces that were read together are consumed together.
    mux_channel_consumed(taken, came);
    return came;
}

static size_t read_data(Wires *wires, uint8_t *sink)
{
    size_t came = 0, n;

    for (size_t at = 0; at < wires->out.size; at += n) {
        n = wires->out.size - at;
        n = n < FRAMES_PIECE ? n : FRAMES_PIECE;
        feed(host, wires->out.bytes + at, n);
        came += take_data(sink);
    }
    wires->out.size = 0;
    write_all(host, &wires->back);
    return came;
}

// A window grows when its sender has used it up, which frames of one size do not do.
static void grow_window(Wires *wires)
{
    MuxChannelInfo info = {0};
    MuxTurn turn;

    for (int i = 0; info.window < WINDOW_ENOUGH; i++) {
        if (i == 100)
            errx(1, "the window does not grow");
        mux_channel_ready(channel);
        while (mux_session_next_turn(guest, &turn)) {
            mux_session_turn_done(guest, &turn, turn.size, true);
            write_all(guest, &wires->out);
        }
        (void)read_data(wires, NULL);
        take_back(&wires->back);
        mux_channel_info(taken, &info);
    }
}

void contender_start(Wires *wires, size_t a_frame)
{
    const MuxOpening opening = {.name = "bench", .length = 5, .nonce = 1};

    size = a_frame;
    if (size == 0) {
        layer_start();
        return;
    }
    if (mux_session_new(MUX_GUEST, NULL, &guest) < 0 || mux_session_new(MUX_HOST, NULL, &host) < 0)
        errx(1, "no memory");
    mux_session_start(guest, 1, 1);
    mux_session_start(host, 2, 1);
    settle(wires);
    if (mux_session_open(guest, &opening, &channel) != 0)
        errx(1, "the channel cannot be opened");
    settle(wires);
    grow_window(wires);
}

// What the scheduler gives at once may be less than a frame of `size`: what is left of a channel's
// quantum. That goes as a frame more, and what it costs is a cost of the others. What is left of a
// batch is not used for such.
static bool put_frame(const uint8_t *source, const MuxTurn *turn, bool first)
{
    size_t n = turn->size < size ? turn->size : size;
    bool goes = n == size || first;

    if (goes)
        frames_copy(turn->base, source, n);
    mux_session_turn_done(guest, turn, goes ? n : 0, true);
    return goes;
}

// Returns how many frames of `size` are in the batch.
static size_t fill_batch(const uint8_t *source, size_t most, size_t *bytes)
{
    MuxTurn turn;
    size_t n = 0;

    for (bool first = true; n < most && mux_session_next_turn(guest, &turn); first = false) {
        if (!put_frame(source, &turn, first))
            break;
        n += turn.size >= size;
        *bytes += turn.size < size ? turn.size : size;
    }
    return n;
}

size_t contender_encode(Wires *wires, const uint8_t *source, size_t frames)
{
    size_t bytes = 0;

    if (size == 0) {
        layer_encode(&wires->out, frames);
        return 0;
    }
    take_back(&wires->back);
    mux_channel_ready(channel);
    while (frames > 0) {
        size_t before = wires->out.size;
        frames -= fill_batch(source, frames, &bytes);
        write_all(guest, &wires->out);
        if (wires->out.size == before)
            errx(1, "%zu frames have no credit", frames);
    }
    return bytes;
}

size_t contender_decode(Wires *wires, uint8_t *sink)
{
    return size == 0 ? layer_decode(&wires->out) : read_data(wires, sink);
}
