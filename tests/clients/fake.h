// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A daemon that the test plays: it takes connections one after the other, in a thread of its own,
// and does with each what the test says. At its end it checks that no descriptor was left open.
#pragma once

#include <glib.h>

typedef void (*FakePlay)(int fd, gconstpointer data);

typedef struct Fake {
    char *folder;
    char *path; // of its socket
    int listening;
    guint descriptors; // that were open at first
    GThread *thread;
    FakePlay play;
    gconstpointer data;
    int connections; // that it takes
} Fake;

void fake_start(Fake *fake, FakePlay play, gconstpointer data);
// With several connections, each played the same way.
void fake_start_many(Fake *fake, FakePlay play, gconstpointer data, int connections);
void fake_end(Fake *fake);

// For plays. Reads exactly this.
void fake_expect(int fd, const char *text);
// Whether the other end has closed; waits for it.
void fake_expect_end(int fd);
void fake_say(int fd, const char *text);
// Byte by byte, each in a write of its own, and with breaks.
void fake_say_slowly(int fd, const char *text);
// With descriptors, which stay the caller's.
void fake_pass(int fd, const char *text, const int *fds, guint n);
// Expects "@control" and the request, and says that both are fine.
void fake_expect_control(int fd, const char *request);
// Passes one end of a connected pair; at the other end is a program that says `greeting` and
// closes.
void fake_pass_channel(int fd, const char *line, const char *greeting);

// For the test: the descriptor says this and no more. Closes it.
void fake_assert_says(int fd, const char *expected);

guint fake_descriptors(void);
