// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What happened how often over all seeds. A simulation in which something important never happens
// tests nothing and looks as if it did: then the whole test fails.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Item, its words, and whether it has to happen.
#define COVERAGE_ITEMS(X)                                                                          \
    X(UP, "event UP", true)                                                                        \
    X(DOWN_PORT, "DOWN: port", true)                                                               \
    X(DOWN_PEER, "DOWN: peer started anew", true)                                                  \
    X(DOWN_STEP, "DOWN: out of step", true)                                                        \
    X(DOWN_PROTOCOL, "DOWN: a rule broken, after a restore", true)                                 \
    X(DOWN_NONCE, "DOWN: ACCEPT of an undone OPEN, after a restore", true)                         \
    X(DOWN_MEMORY, "DOWN: no memory", true)                                                        \
    X(SILENT, "event SILENT", true)                                                                \
    X(HEARD, "event HEARD", true)                                                                  \
    X(OPEN, "event OPEN", true)                                                                    \
    X(ACCEPT, "event ACCEPT", true)                                                                \
    X(DATA, "event DATA", true)                                                                    \
    X(FIN, "event FIN", true)                                                                      \
    X(STOP, "event STOP", true)                                                                    \
    X(RESET_OPENING, "event RESET, opening", true)                                                 \
    X(RESET_ASKED, "event RESET, asked", true)                                                     \
    X(RESET_OPEN, "event RESET, open", true)                                                       \
    X(RESET_FULL, "event RESET, refused by the session", true)                                     \
    X(RESET_UNDONE, "event RESET that answers an undone OPEN, after a restore", true)              \
    X(RESET_LINK, "event RESET, link down", true)                                                  \
    X(FRAME_HELLO, "frame HELLO", true)                                                            \
    X(FRAME_PING, "frame PING", true)                                                              \
    X(FRAME_PONG, "frame PONG", true)                                                              \
    X(FRAME_ACK, "frame ACK", true)                                                                \
    X(FRAME_OPEN, "frame OPEN", true)                                                              \
    X(FRAME_ACCEPT, "frame ACCEPT", true)                                                          \
    X(FRAME_DATA, "frame DATA", true)                                                              \
    X(FRAME_FIN, "frame FIN", true)                                                                \
    X(FRAME_STOP, "frame STOP", true)                                                              \
    X(FRAME_RESET, "frame RESET", true)                                                            \
    X(FRAME_CREDIT, "frame CREDIT", true)                                                          \
    X(FRAME_RECLAIM, "frame RECLAIM", true)                                                        \
    X(FRAME_RETURN, "frame RETURN", true)                                                          \
    X(FRAME_REF, "frame REF", true)                                                                \
    X(FRAME_GIVE, "frame GIVE", true)                                                              \
    X(FRAME_NOTICE, "frame NOTICE", true)                                                          \
    X(REF, "event DATA in a slot", true)                                                           \
    X(REF_LATE, "REF whose bytes nobody gets", true)                                               \
    X(SLOT_REFUSED, "no slot for bytes that want one", true)                                       \
    X(SLOT_HELD, "a slot that is given back later", true)                                          \
    X(SLOTS_DROPPED, "slots held while their region goes", true)                                   \
    X(SLOTS_DOWN, "slots held while the session goes", true)                                       \
    X(PATH_CHANGED, "a channel that goes on the other way", true)                                  \
    X(REGION, "a region", true)                                                                    \
    X(REGION_TINY, "a region of tiny slots", true)                                                 \
    X(REGION_REPLACED, "a region replaced, or taken away", true)                                   \
    X(RESTORE_SHARED, "a snapshot restored: guest had a region", true)                             \
    X(SHARING, "a session with shared memory", true)                                               \
    X(NOT_SHARING, "a session without", true)                                                      \
    X(NOTICE, "event NOTICE", true)                                                                \
    X(NOTICE_COALESCED, "a notice that takes the place of one that waits", true)                   \
    X(ZEROS, "zeros before a HELLO", true)                                                         \
    X(FULL_DATA, "a DATA frame of the greatest size", true)                                        \
    X(OPENED, "open: ok", true)                                                                    \
    X(OPEN_DOWN, "open: down", true)                                                               \
    X(OPEN_LIMIT, "open: limit", true)                                                             \
    X(OPEN_NAME, "open: bad name", true)                                                           \
    X(OPEN_MEMORY, "open: no memory", true)                                                        \
    X(CLOSE_UNSENT, "close of an open that was not sent", true)                                    \
    X(CLOSE_OPENING, "close while opening", true)                                                  \
    X(CLOSE_OPEN, "close while open", true)                                                        \
    X(CLOSE_DONE, "close after FIN both ways", true)                                               \
    X(CLOSE_DEAD, "close of a dead channel", true)                                                 \
    X(REFUSE, "an open refused", true)                                                             \
    X(STOP_EARLY, "stop before the channel is open", true)                                         \
    X(TURN_EMPTY, "a turn that gives nothing", true)                                               \
    X(TURN_SPLIT, "a turn of less than was lent", true)                                            \
    X(NO_CREDIT, "a sender without credit", true)                                                  \
    X(WINDOW_FLOOR, "a window below the start size", true)                                         \
    X(WINDOW_GREW, "a window above the start size", true)                                          \
    X(FULL_FLIGHT, "so much in flight that data waits", true)                                      \
    X(RESETS_PACED, "resets that wait for the bucket", true)                                       \
    X(CROWD, "a thousand channels at once", true)                                                  \
    X(PUSH_BACK, "the port takes nothing", true)                                                   \
    X(WRITE_PART, "the port takes a part", true)                                                   \
    X(PORT_LOST, "the port closed, noticed by both", true)                                         \
    X(RECONNECT, "a chardev reconnect that the guest missed", true)                                \
    X(REOPEN, "the guest opens the port again", true)                                              \
    X(GUEST_CRASH, "guest daemon crashed", true)                                                   \
    X(HOST_CRASH, "host daemon crashed", true)                                                     \
    X(GUEST_RESET, "guest reset that the host missed", true)                                       \
    X(SNAPSHOT, "a snapshot taken", true)                                                          \
    X(RESTORE_UP, "a snapshot restored: guest was up", true)                                       \
    X(RESTORE_GREETING, "a snapshot restored: guest was greeting", true)                           \
    X(LOSE_TAIL, "bytes lost behind a write", true)                                                \
    X(LOSE_WRITE, "a whole write lost", true)                                                      \
    X(REPEAT, "stale bytes", true)                                                                 \
    X(REPEAT_WRITE, "a whole write repeated", true)                                                \
    X(CUT_FRAME, "a cut frame that nobody noticed until the port was opened again", false)         \
    X(STALL, "a stall", true)                                                                      \
    X(LONG_PAUSE, "a pause of more than ten seconds", true)                                        \
    X(CALM_SEED, "a seed without any trouble", true)

typedef enum CoverageItem {
#define X(item, words, needed) COVER_##item,
    COVERAGE_ITEMS(X)
#undef X
        COVERAGE_COUNT,
} CoverageItem;

typedef struct Coverage {
    uint64_t times[COVERAGE_COUNT];
} Coverage;

void coverage_print(const Coverage *coverage);
// Whether everything happened that has to; says what did not.
bool coverage_complete(const Coverage *coverage);
