// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Every constant of the protocol, once, with its reason. PROTOCOL.md repeats those that the other
// end must know; the rest are this implementation's own choice.
#pragma once

// --- what both ends must agree on

// One write() on a virtio-serial port carries at most 32 KiB (Linux,
// drivers/char/virtio_console.c), so no frame is longer, and a whole batch of output is one write.
#define MUX_FRAME_MAX   32768
#define MUX_HEADER_SIZE 16
#define MUX_GUARD_SIZE  4
#define MUX_PAYLOAD_MAX (MUX_FRAME_MAX - MUX_HEADER_SIZE - MUX_GUARD_SIZE)

#define MUX_VERSION_MIN 1
#define MUX_VERSION_MAX 1

// A name is "service" or "service:argument".
#define MUX_SERVICE_MAX  128
#define MUX_ARGUMENT_MAX 1024
#define MUX_NAME_MAX     (MUX_SERVICE_MAX + 1 + MUX_ARGUMENT_MAX)

// No receiver can mean to hold a gigabyte of one channel: a credit that is further ahead than this
// of what was sent is a counter that overflowed or an attempt to make one overflow.
#define MUX_CREDIT_MAX (1u << 30)

// An end that resets the channels that it opened itself makes the other end work for nothing
// (CVE-2023-44487). A sender keeps to the first pair; a receiver ends the session at the second,
// which leaves room for what a stalled port bunches up: MUX_FLIGHT_MAX of RESETs, and another
// burst.
#define MUX_RESETS_BURST         4096
#define MUX_RESETS_PER_SECOND    2048
#define MUX_RESETS_BURST_IN      (8 * MUX_RESETS_BURST)
#define MUX_RESETS_PER_SECOND_IN (2 * MUX_RESETS_PER_SECOND)

// A slot of shared memory, and how many a region has: a table of them is kept for each.
#define MUX_SLOT_MAX  (1u << 20)
#define MUX_SLOTS_MAX 65536
// Slots that one GIVE returns.
#define MUX_GIVE_MAX 512

// --- defaults and our own choices

// Channels that the peer may have open at once, and those of them not yet answered: a
// handler that is slow to take them must not hold a descriptor and a name for each of all channels.
#define MUX_CHANNELS_DEFAULT 16384
#define MUX_PENDING_DEFAULT  1024

// Bytes that a link's peer may send us unread, all channels together.
#define MUX_BUDGET_DEFAULT (64u << 20)
// Of that, for each channel that the peer may open; as many again may be ours, and the floors of
// both have half of the budget: with less, a floor would be under 256 bytes, and mostly headers.
#define MUX_BUDGET_LEAST 1024

// The port buffers 128 writes (4 MiB) before it pushes back. This is how much of that we use for
// data: less would cost an ACK more often, which is a wake-up of both ends, and a first keystroke
// waits behind at most this: a millisecond or so at 400 MB/s.
#define MUX_FLIGHT_MAX (512 * 1024)
_Static_assert(MUX_FLIGHT_MAX / (MUX_HEADER_SIZE + 4 + MUX_GUARD_SIZE) + MUX_RESETS_BURST <
                   MUX_RESETS_BURST_IN,
               "a stalled port lets loose more RESETs than the peer takes for honest");
// The same while messages pass bulk transfers: one batch. That lasts for so long after the last
// message; and bulk is thought to move for so long after its last frame.
#define MUX_FLIGHT_BESIDE MUX_FRAME_MAX
#define MUX_BESIDE_US     500000u
#define MUX_BULK_US       20000u
// How many bytes in slots count for one on the port in that: half the time is what they take, but
// there is much room for them where nobody waits behind.
#define MUX_SLOT_LIGHTER        4
#define MUX_SLOT_LIGHTER_BESIDE 2

// What a channel sends before the next one's turn: a frame, or less when many have something to
// send, so that a round of all is one flight; but no less than this, or headers and system calls
// would cost more than the bytes.
#define MUX_QUANTUM_MIN 4096

// A channel's window of credit grows up to this: twice what may be in flight in slots, since credit
// comes back for half of a window.
#define MUX_WINDOW_MAX (4u << 20)
// What a new channel gets while the budget is mostly free: a request and its answer in one go.
#define MUX_WINDOW_START (16u << 10)
// A channel that received nothing for this long is asked for its unused credit when another one
// needs it.
#define MUX_RECLAIM_IDLE_US 1000000u

// The slot that a channel gets first; later ones follow what it has to send.
#define MUX_SLOT_WANTED (64 * 1024)

// Slots go back with whatever else is said; by themselves only after this time, or when they make
// an eighth of their region: each frame on its own costs both ends a wake-up.
#define MUX_GIVE_US   10000u
#define MUX_GIVE_PART 8

// The receive buffer: what the port gives in one go is parsed in one go.
#define MUX_INPUT_SIZE (256 * 1024)
// A batch with less room than this left is sent: so little is not worth a system call.
#define MUX_CRUMB 1024

// Silence after which a PING is sent, and after which, unanswered, the peer is marked as silent.
// Before the session is up: how long to wait for an answer to HELLO before it is said again.
#define MUX_PING_US 10000000u
// The same after something was sent for a channel and nothing came back: a guest that was restored
// to an earlier state may have lost just that, and both ends would wait.
#define MUX_PING_SOON_US 250000u
// The pause before a greeting is said again, doubled each time up to MUX_PING_US: a pipe that is
// slower than the pause must not keep both ends greeting for ever.
#define MUX_GREET_US 500000u
