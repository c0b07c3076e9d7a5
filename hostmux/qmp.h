// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A client of QEMU's machine protocol. It connects by itself, and again; commands are given one at
// a time, in order. What is at the other end is neither trusted to be QEMU, nor to be small or
// fast.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay/loop.h"

typedef struct MuxQmp MuxQmp;

typedef struct MuxQmpEvents {
    // Commands can be given.
    void (*up)(void *user);
    // They cannot any more; those that were given have failed already.
    void (*down)(void *user);
    // `untrusted_data` is lent, and NULL when there is none.
    void (*event)(void *user, const char *untrusted_name, json_object *untrusted_data);
} MuxQmpEvents;

typedef struct MuxQmpError {
    bool lost;      // the connection: it may have been done or not
    bool not_found; // there is no such device
    char *text;     // for people, short and printable
} MuxQmpError;

// What came of a command: the answer (lent), or NULL and why.
typedef void MuxQmpDone(void *user, json_object *untrusted_answer, const MuxQmpError *error);

// `vm` is for the log, `spec` is "unix:PATH". NULL with an error. Nothing is called before the loop
// runs.
MuxQmp *mux_qmp_new(MuxLoop *loop, const char *vm, const char *spec, const MuxQmpEvents *events,
                    void *user, GError **error);
// Calls nobody. NULL is fine; returns NULL.
MuxQmp *mux_qmp_free(MuxQmp *qmp);

bool mux_qmp_is_up(const MuxQmp *qmp);
// "connected", or why not, for people.
const char *mux_qmp_state(const MuxQmp *qmp);

// Gives a command. `arguments` becomes qmp's, NULL for none; `fd` goes along with it unless it is
// -1, and stays the caller's. `done` is called once, in a later turn, unless it is cancelled.
void mux_qmp_execute(MuxQmp *qmp, const char *command, json_object *arguments, int fd,
                     MuxQmpDone *done, void *user);
// Commands that were given for `user` are answered to nobody; they may still be done.
void mux_qmp_cancel(MuxQmp *qmp, const void *user);
