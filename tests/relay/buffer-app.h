// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Programs at their handles: what they say, and what they must hear.
#pragma once

#include "buffer-world.h"

typedef struct App {
    int fd;
    GByteArray *in; // read and not looked at
    int memory;     // the descriptor that came, or -1
    guint passed;   // how many came
    bool eof;
} App;

// One of that user's, connected to @buffer; it has said nothing yet.
App *app_new_as(Side *side, uid_t uid);
// Closes it, and its memory.
void app_close(App *app);

void app_say(const App *app, const void *bytes, size_t size);
// Takes what there is.
void app_read(App *app);
// Whether it was closed from there.
bool app_ended(App *app);
// The next line, the caller's.
char *app_line(App *app);

// --- how a handle begins

// One that has asked.
App *app_ask_as(Side *side, uid_t uid, const char *request);
// What it is answered: "ok" or the error's code. The caller's.
char *app_answer(App *app);
// One that has asked and was answered so; with uid 1000 if none is given.
App *app_expect_as(Side *side, uid_t uid, const char *request, const char *expected);
App *app_expect(Side *side, const char *request, const char *expected);
// The same, and it is closed then.
void app_refused_as(Side *side, uid_t uid, const char *request, const char *expected);

// --- records

typedef struct Record {
    uint32_t type;
    uint64_t sequence, offset, length; // of a NOTICE
    char *text;                        // of another
} Record;

// The next.
Record app_record(App *app);
void app_expect_notice(App *app, uint64_t offset, uint64_t length);
void app_expect_text(App *app, uint32_t type, const char *text);

// The bytes of a NOTIFY; returns how many.
size_t record_notify(uint8_t *to, uint64_t offset, uint64_t length);
void app_notify(const App *app, uint64_t offset, uint64_t length);
void app_set(const App *app, const char *json);
