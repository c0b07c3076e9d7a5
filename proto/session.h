// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The protocol of one link, without any I/O: bytes of the port in, events out; calls in, bytes for
// the port out. PROTOCOL.md says what is on the wire. This is the whole interface of proto/.
//
// The owner runs it like this, whenever something happened:
//
//     n = read(port, mux_session_input(s, &base), …);  mux_session_input_done(s, n, now);
//     while (mux_session_next_event(s, &event))         …handle it…
//     while (mux_session_next_turn(s, &turn))           …read() into it, mux_session_turn_done()…
//     write(port, mux_session_output(s, &base), …);     mux_session_output_done(s, n);
//
// Nothing here calls back, blocks, or reads a clock: time is passed in, in microseconds of any
// clock that does not go back. One thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "caller.h"
#include "hello.h"
#include "list.h"
#include "name.h"
#include "slots.h"

typedef struct MuxSession MuxSession;

// One end of a channel. It is valid from mux_session_open() or MUX_EVENT_OPEN until
// mux_channel_close(), which the owner calls exactly once, whatever happened to the channel before.
typedef struct MuxChannel MuxChannel;

// What both ends must know of beside version 1; a session has what both have.
#define MUX_FEATURE_MEMORY 1u // REF, GIVE and NOTICE: shared memory
#define MUX_FEATURES       MUX_FEATURE_MEMORY

// 0 stands for the default. What the peer may cost us; each end has its own.
typedef struct MuxLimits {
    uint32_t channels; // that the peer may open
    uint32_t own;      // of those that we may open, kept for names of mux_name_own()
    uint32_t pending;  // of those, not yet answered
    uint64_t budget;   // bytes that it may send us unread, all channels together
    uint64_t seed;     // random, and secret: a peer must not choose ids that are slow to find
    uint32_t without;  // features that are not offered
} MuxLimits;

// Why a session ended.
typedef enum MuxReason {
    MUX_REASON_NONE,
    MUX_REASON_PORT,     // mux_session_stop(): the port is gone
    MUX_REASON_PEER,     // the peer started anew
    MUX_REASON_STEP,     // a frame was lost, repeated, cut, or of another session
    MUX_REASON_PROTOCOL, // the peer broke a rule; detail says which
    MUX_REASON_MEMORY,
    MUX_REASON_IDS, // two thousand million channels were opened in this session
} MuxReason;

typedef enum MuxEventType {
    MUX_EVENT_NONE,
    MUX_EVENT_UP,     // a session was agreed on: channels can be opened
    MUX_EVENT_DOWN,   // it ended: .reason, .detail. Each channel gets its own RESET first.
                      // Nothing happens until mux_session_start().
    MUX_EVENT_REJECT, // a HELLO came that no session can be agreed on with: .detail
    MUX_EVENT_SILENT, // the peer has not answered a PING
    MUX_EVENT_HEARD,  // it was silent, and is there again
    MUX_EVENT_OPEN, // the peer opens .channel to the name in .data, checked by mux_name_valid() or
                    // mux_name_own(), for .caller; answer with mux_channel_accept() or
                    // mux_channel_close()
    MUX_EVENT_ACCEPT, // the peer took .channel: data can flow
    MUX_EVENT_DATA,   // .data, in order. mux_channel_consumed() when the reader has it
    MUX_EVENT_FIN,    // no more data will come
    MUX_EVENT_STOP,   // the peer wants no more data: our direction is closed
    MUX_EVENT_RESET,  // .code: both directions are gone; mux_channel_close() remains to be called
    MUX_EVENT_NOTICE, // the peer says .notice; it is no channel's
} MuxEventType;

// Says that something happened to what both ends know by `id`: bytes `offset` to `offset + length`
// of it are others, and it is news number `sequence`. Its owner keeps one for each such thing.
typedef struct MuxNotice {
    MuxList node; // while it waits to be sent
    uint64_t id, sequence, offset, length;
} MuxNotice;

typedef struct MuxEvent {
    MuxEventType type;
    MuxChannel *channel;
    void *user; // the channel's, as given to open, accept or set_user; NULL before
    // Lent until the next mux_session_input() or mux_session_start(), unless DATA lies in a slot:
    // then until mux_session_give(), or until the region is taken away.
    const uint8_t *data;
    size_t size;
    uint64_t slot; // for mux_session_give(); 0: in none
    uint32_t code; // a MuxCode, or a number of a later version
    MuxReason reason;
    const char *detail;      // a constant string, or NULL
    const MuxCaller *caller; // lent until the next event
    const MuxNotice *notice; // the same
} MuxEvent;

// --- the session

// 0 or -ENOMEM. `limits` may be NULL. The session is down until it is started.
int mux_session_new(MuxRole role, const MuxLimits *limits, MuxSession **ret_session);
// All channels must have been closed. NULL is fine; returns NULL.
MuxSession *mux_session_free(MuxSession *session);

// The port is there, or the session went down on a port that still is: greets the peer under a
// new `id`, 64 random bits, not 0. Only while the session is down.
void mux_session_start(MuxSession *session, uint64_t id, uint64_t now_us);
// The port is gone, with all bytes that were in it. A DOWN event follows if a session was up.
void mux_session_stop(MuxSession *session);

bool mux_session_is_up(const MuxSession *session);
// Started, be the session up yet or not.
bool mux_session_is_started(const MuxSession *session);

// --- bytes of the port in, events out

// Lends space for what the port has. 0 only when events were not drained.
size_t mux_session_input(MuxSession *session, uint8_t **ret_base);
void mux_session_input_done(MuxSession *session, size_t n, uint64_t now_us);

// The next event; false when there is none (ret_event->type is then MUX_EVENT_NONE). To be drained
// after input, stop, tick, open and close.
bool mux_session_next_event(MuxSession *session, MuxEvent *ret_event);

// --- bytes for the port out

// A channel's turn to send: up to `size` bytes go to `base`.
typedef struct MuxTurn {
    MuxChannel *channel;
    void *user;
    uint8_t *base; // in the batch, or in a slot of the region that we write
    size_t size;
    uint32_t slot; // MUX_SLOT_NONE, or which
} MuxTurn;

// Whose turn it is. False when the batch is full, too much is in flight, or nobody has anything to
// send.
bool mux_session_next_turn(MuxSession *session, MuxTurn *ret_turn);
// `n` bytes were put there. With `more` unset, the channel has nothing until mux_channel_ready();
// with it and `n` 0, it gets the same turn again.
void mux_session_turn_done(MuxSession *session, const MuxTurn *turn, size_t n, bool more);

// Lends the bytes that go to the port next, at most MUX_FRAME_MAX; 0 for none. It is one piece,
// since each element of a writev() on a virtio-serial port costs one of its 128 descriptors.
size_t mux_session_output(MuxSession *session, const uint8_t **ret_base);
// `n` of them were written.
void mux_session_output_done(MuxSession *session, size_t n);

// --- shared memory, in a session that has MUX_FEATURE_MEMORY

// A region that this end writes (`ours`), or that the peer does; NULL: there is none any more. It
// must be there before the peer learns of it, and holds as long as the session. `region` is copied.
// 0, -ENOMEM, or -EINVAL when its classes make no sense.
int mux_session_set_region(MuxSession *session, bool ours, const MuxRegion *region);
// Bytes go through our region when at least this many of a channel are there at once: where that is
// faster than the port. MUX_NEVER, as in the beginning: not at all.
#define MUX_NEVER UINT32_MAX
void mux_session_set_threshold(MuxSession *session, uint32_t bytes);
// The bytes of a DATA event in a slot are not needed any more. No effect when the region is gone.
void mux_session_give(MuxSession *session, uint64_t slot);

// How a channel's bytes go; for measuring, and for tests.
typedef enum MuxPath {
    MUX_PATH_AUTO,
    MUX_PATH_INLINE,
    MUX_PATH_SHARED, // as long as there are slots
} MuxPath;

// `most` bytes a turn; 0: as it comes.
void mux_channel_set_path(MuxChannel *channel, MuxPath path, uint32_t most);

void mux_notice_init(MuxNotice *notice, uint64_t id);
// To be sent to the peer, with the values that it has then. No effect while it waits already, or
// when there is no session.
void mux_session_notify(MuxSession *session, MuxNotice *notice);
// It is not sent, if it was not yet.
void mux_notice_deinit(MuxNotice *notice);

// To be called once per wake-up, and at the deadline (UINT64_MAX: there is none).
void mux_session_tick(MuxSession *session, uint64_t now_us);
uint64_t mux_session_deadline(const MuxSession *session);

// --- channels

#define MUX_OPEN_DOWN  1 // there is no session
#define MUX_OPEN_LIMIT 2 // as many channels are open as the peer allows
#define MUX_OPEN_NAME  3 // not a name

typedef struct MuxOpening {
    const char *name; // of a service, or of the daemon's own (mux_name_own())
    size_t length;
    uint32_t nonce;
    const MuxCaller *caller; // or NULL: the peer is not told
    MuxAccount *account;     // what the channel may hold is counted there until
                             // mux_channel_close(); or NULL
    void *user;
} MuxOpening;

// Opens a channel to a name. 0, -ENOMEM or one of the above. ACCEPT or RESET will be its first
// event.
//
// `nonce` is 32 bits that an undone life of this machine would not have had too: after a restored
// snapshot, an answer to the OPEN of that life must not be taken for the answer to this one. A
// random number alone may be the same again (a kernel's generator is restored with its machine), so
// mix a clock into it.
int mux_session_open(MuxSession *session, const MuxOpening *opening, MuxChannel **ret_channel);
// Takes a channel that the peer opened. No effect on one that was reset meanwhile.
void mux_channel_accept(MuxChannel *channel, void *user);
void mux_channel_set_user(MuxChannel *channel, void *user);

// It has bytes to send. From now on it gets turns, as credit and the others allow.
void mux_channel_ready(MuxChannel *channel);
// All its bytes were given: our direction is closed. No effect before the channel is open.
void mux_channel_fin(MuxChannel *channel);
// Nobody reads what comes: the peer is told, and what still comes is thrown away.
void mux_channel_stop(MuxChannel *channel);
// `n` bytes of DATA events have reached the reader: credit for as many can go back.
void mux_channel_consumed(MuxChannel *channel, size_t n);
// Ends the channel's life here. If a direction is still open, the peer gets RESET with this code.
void mux_channel_close(MuxChannel *channel, MuxCode code);

// --- for status

typedef struct MuxChannelInfo {
    uint32_t id;
    const char *state; // a word of PROTOCOL.md's state table
    bool ours;         // opened by this end
    uint64_t sent, received, consumed;
    uint64_t credit; // bytes that we may still send
    uint64_t window; // bytes that the peer may have on the way to our reader
    uint64_t stalls; // how often it had bytes to send, and no credit
} MuxChannelInfo;

typedef struct MuxSessionInfo {
    const char *state; // "down", "greeting" or "up"
    uint64_t id, peer_id;
    uint16_t version;
    uint32_t features;
    uint32_t channels;
    uint64_t sent, received;       // bytes on the port in this session
    uint64_t in_flight;            // sent and not yet acknowledged
    uint64_t budget, budget_used;  // for bytes that the peer may send us
    uint64_t sessions, lost_steps; // since the start of the process
    uint64_t silences;             // how often the peer did not answer in time, in this session
    uint64_t rtt_us;               // of the last PING; 0 when there was none
    bool silent;
} MuxSessionInfo;

typedef struct MuxRegionInfo {
    bool there;
    uint32_t epoch;
    uint32_t slots, used;  // slots; of those, not free, or held by us
    uint64_t shared, port; // bytes of channels that went in this direction, in this session:
                           // through shared memory, and over the port
    uint32_t threshold;    // of our region
} MuxRegionInfo;

void mux_session_region_info(const MuxSession *session, bool ours, MuxRegionInfo *ret_info);
void mux_channel_info(const MuxChannel *channel, MuxChannelInfo *ret_info);
void mux_session_info(const MuxSession *session, MuxSessionInfo *ret_info);
