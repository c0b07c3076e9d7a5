// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl's commands, and how they are told apart and started.
#pragma once

#include <float.h>
#include <glib.h>
#include <stdbool.h>

// Exit statuses; muxctl(1) lists them.
enum {
    EXIT_GOOD = 0,
    EXIT_BROKEN = 1,    // the channel ended before everything was carried
    EXIT_USAGE = 2,     //
    EXIT_NO_DAEMON = 3, // nobody listens on the socket, or the daemon went away
    EXIT_ERROR = 4,     // the daemon gave an error or nonsense
    EXIT_REFUSED = 10,  // plus the code's number: 11 no-service, … 17 bad-name
    EXIT_TIMEOUT = 15,  // the time is over
    EXIT_BAD_NAME = 17, // not a name
    EXIT_TAKEN = 18,    // somebody else has that name
    EXIT_GONE = 19,     // the buffer went meanwhile
    EXIT_UNSHARED = 20, // the two sides cannot share memory
};

typedef struct MuxctlOptions {
    char *socket; // or NULL: whichever daemon is there
    gboolean json;
} MuxctlOptions;

typedef struct MuxctlCommand MuxctlCommand;
struct MuxctlCommand {
    const char *name;
    const char *parameters; // as shown behind the name
    const char *summary;    // a line of muxctl --help
    const char *help;       // under the options in its own --help; or NULL
    guint least, most;      // how many arguments it takes
    bool json;              // has --json
    // Gets argv from its own name on, and returns the exit status.
    int (*run)(const MuxctlCommand *command, MuxctlOptions *options, char **argv);
};

extern const MuxctlCommand muxctl_buffer;
extern const MuxctlCommand muxctl_connect;
extern const MuxctlCommand muxctl_events;
extern const MuxctlCommand muxctl_listen;
extern const MuxctlCommand muxctl_services;
extern const MuxctlCommand muxctl_status;
extern const MuxctlCommand muxctl_top;
extern const MuxctlCommand muxctl_vms;
extern const MuxctlCommand muxctl_wait;

// The arguments of a command, its options taken out; NULL after having said what is wrong with
// them. `own` are its options beside --socket and --json, or NULL.
char **muxctl_parse(const MuxctlCommand *command, MuxctlOptions *options, const GOptionEntry *own,
                    char **argv);
// What --timeout is when it is not given.
#define MUXCTL_FOR_EVER (-DBL_MAX)
// Whether it is a number of seconds that an option may have; says so if not.
bool muxctl_check_seconds(const char *option, double seconds, double least);

// Whether a service can have that name.
bool muxctl_is_service(const char *name);

// One line on stderr, "muxctl: …", in which nothing controls the terminal.
void muxctl_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);
// What was printed may not have arrived: the exit status, after having said so.
int muxctl_flush(void);
