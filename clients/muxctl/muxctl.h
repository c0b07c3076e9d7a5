// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl's commands, and what they share.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

// Exit statuses; muxctl(1) lists them.
enum {
    EXIT_GOOD = 0,
    EXIT_BROKEN = 1,    // the channel ended before everything was carried
    EXIT_USAGE = 2,     //
    EXIT_NO_DAEMON = 3, // nobody listens on the socket
    EXIT_ERROR = 4,     // the daemon gave an error or nonsense
    EXIT_REFUSED = 10,  // plus the code's number: 11 no-service, … 17 bad-name
    EXIT_BUSY = 14,     // as limit: too much is being asked
};

typedef struct MuxctlOptions {
    char *socket; // or NULL: whichever daemon is there
    gboolean json;
} MuxctlOptions;

// Each command gets its arguments after its name, and returns the exit status.
int muxctl_connect(const MuxctlOptions *options, char **arguments);
int muxctl_services(const MuxctlOptions *options, char **arguments);
int muxctl_status(const MuxctlOptions *options, char **arguments);
int muxctl_vms(const MuxctlOptions *options, char **arguments);

// Connects to the daemon. The descriptor, or -1 after having said why not.
int muxctl_dial(const MuxctlOptions *options);
// Connects and opens a name, "…\n". 0 with the descriptor, or the exit status after having said why
// not.
int muxctl_open(const MuxctlOptions *options, const char *name, int *ret_fd);
// Asks the daemon {"verb": verb}. 0 with the answer, which is the caller's, or the exit status
// after having said why not.
int muxctl_ask(const MuxctlOptions *options, const char *verb, json_object **ret_answer);
// The value of a key, lent by the object; NULL when there is none.
json_object *muxctl_get(json_object *object, const char *key);
// The id of the session that a channel to `name` runs over, to be freed; NULL when there is none.
// False when the daemon does not tell.
bool muxctl_session(const MuxctlOptions *options, const char *name, char **ret_id);
// Writes all of it; false with errno set.
bool muxctl_write_all(int fd, const void *bytes, size_t size);
