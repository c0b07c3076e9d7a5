// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One session under test, and a hand that writes its peer's frames, well made or not, and reads its
// own. What the session says is a text, one line a frame:
//
//     PING n / PONG n / ACK n / OPEN id credit name / ACCEPT id n / DATA id bytes (or <size>) / FIN
//     id / STOP id / RESET id code / CREDIT id n / RECLAIM id / RETURN id n / REF id
//     epoch/slot.generation+offset <length> / GIVE epoch slot.generation ... / NOTICE id sequence
//     offset length (epochs in hexadecimal)
//
// The nonces of OPEN and ACCEPT are not told: what is forged has nonce_of(channel), and what the
// session says is checked to have it.
#pragma once

#include "pair.h"
#include "proto/frame.h"

typedef struct Forge {
    End end; // the session under test
    uint64_t key;
    uint32_t sequence; // of the next frame that is forged
    uint32_t heard;    // …that the session is to send
    bool held;         // what is forged is collected, not yet fed
    bool asks;         // what is forged asks for an ACK
    unsigned asked;    // how many frames of the session did
    GByteArray *bytes; // so collected
    GString *said;
} Forge;

// The session has this role; the handshake is over. `peer` is the HELLO that it gets, of which the
// role, the id and the echo are filled in; NULL for the defaults.
void forge_up(Forge *forge, MuxRole role, const MuxLimits *limits, const MuxHello *peer);
void forge_deinit(Forge *forge);

// A frame of the session, in step.
void forge_put(Forge *forge, MuxFrameType type, uint32_t channel, const void *payload,
               uint16_t length);
void forge_empty(Forge *forge, MuxFrameType type, uint32_t channel);
void forge_number(Forge *forge, MuxFrameType type, uint32_t channel, uint64_t number);
void forge_reset(Forge *forge, uint32_t channel, uint32_t code);
void forge_open(Forge *forge, uint32_t channel, uint64_t credit, const char *name);
void forge_accept(Forge *forge, uint32_t channel, uint64_t credit);
void forge_reference(Forge *forge, uint32_t channel, const MuxReference *reference);
// One slot.
void forge_give(Forge *forge, uint32_t epoch, uint32_t slot, uint32_t generation);
// `n` bytes 'x'.
void forge_data(Forge *forge, uint32_t channel, size_t n);
// Feeds what was collected, in one go.
void forge_release(Forge *forge);

// Reads all that the session writes, onto forge->said. Returns how many frames there were.
unsigned forge_listen(Forge *forge);
// It says this, and no more.
#define forge_expect(forge, text)                                                                  \
    do {                                                                                           \
        forge_listen(forge);                                                                       \
        g_assert_cmpstr((forge)->said->str, ==, text);                                             \
        g_string_truncate((forge)->said, 0);                                                       \
    } while (0)
