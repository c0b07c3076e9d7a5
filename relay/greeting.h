// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The name that an app writes first, how its end says what the app expects, and the refusal.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

// On the host's socket the VM's name and a slash stand in front.
#define MUX_GREETING_MAX (sizeof("CONNECT ") + MUX_SERVICE_MAX + MUX_NAME_MAX)

// What an app is told of its open.
typedef enum MuxAnswers {
    MUX_ANSWERS_NONE,    // "name\0": nothing
    MUX_ANSWERS_LINE,    // "name\n": OK or ERR
    MUX_ANSWERS_CONNECT, // "CONNECT name\n": OK and a number, or ERR, as Firecracker does it
} MuxAnswers;

typedef struct MuxGreeting {
    char name[MUX_GREETING_MAX + 1]; // ends in NUL when done
    size_t length;
    uint8_t answers; // MuxAnswers
} MuxGreeting;

#define MUX_GREETING_MORE 1 // the rest has not come yet
#define MUX_GREETING_BAD  2 // too long, or the app closed before the end of the name

// Reads from the socket up to the name's end and not a byte further: what follows stays for the
// channel. 0 when the name is whole, one of the above, or a negative errno.
int mux_greeting_read(MuxGreeting *greeting, int fd);

// Tells an app, if it wants to know, that its channel to `name` was not opened. `code` is a MuxCode
// or a later version's; `why` is for people, and NULL for what the code means.
void mux_greeting_refuse(int fd, MuxAnswers answers, uint32_t code, const char *name,
                         const char *why);
