// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A daemon that the test plays, and that has one buffer, "clip" of the guest's link "host". Each
// connection to it is kept: the test says what comes on it.
#pragma once

#include <glib.h>
#include <stdint.h>

#include "fake.h"
#include "muxclient.h"

#define FAKE_ID   "0123456789abcdef"
#define FAKE_SIZE (1u << 20)

typedef struct FakeBuffer {
    Fake fake;
    int memory; // a memfd
    int handles[4];
    int n;
} FakeBuffer;

// Answers so many opens, whatever they ask for; who says "write":false gets it read only.
void fake_buffer_start(FakeBuffer *fake, int connections);
// Closes what is left.
void fake_buffer_end(FakeBuffer *fake);

// Opens it; the daemon's end is fake->handles[fake->n - 1] then.
MuxClientBuffer *fake_buffer_open(FakeBuffer *fake, MuxClientBufferMode mode);

// A record, as the daemon writes it.
void fake_buffer_say(int fd, uint32_t type, const void *payload, size_t length);
void fake_buffer_notice(int fd, uint64_t sequence, uint64_t offset, uint64_t length);
