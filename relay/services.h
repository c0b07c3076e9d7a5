// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Which services this side has: those of the folder's files, and those that programs registered.
// Each name once; a file beats a registration.
#pragma once

#include <sys/resource.h>

#include "service.h"

typedef struct MuxServices MuxServices;

// A handler that was started for one channel.
typedef struct MuxChild MuxChild;

// Whoever has to know is told of each change, after an addition and before a removal.
typedef enum MuxChange { MUX_ADDED, MUX_CHANGED, MUX_REMOVED } MuxChange;
typedef void (*MuxServicesChanged)(void *user, const MuxService *service, MuxChange change);

// A set with nothing in it. Handlers are started with the limit of descriptors that the daemon was
// started with, since its own is more than programs that use select() can bear.
MuxServices *mux_services_new(const struct rlimit *descriptors, MuxServicesChanged changed,
                              void *user);
// Ends the handlers that still run. NULL is fine; returns NULL.
MuxServices *mux_services_free(MuxServices *services);

// Reads all NAME.json in `folder` (NULL: there is none) and replaces what is in force of files. A
// file that cannot be used is logged, unless that was said before and not `all` is to be said; and
// what was loaded from it before stays. False with an error when the folder cannot be read; then
// everything stays.
bool mux_services_load(MuxServices *services, const char *folder, bool all, GError **error);

#define MUX_REGISTER_TAKEN 1 // somebody has the name: the error says who
#define MUX_REGISTER_LIMIT 2 // the set is full

// Adds a service for as long as `registrant` wants; `holder`, which becomes the set's, says who
// that is. `privileged` users find room where others do not. The reference to `service` becomes the
// set's. 0, or one of the above with an error.
int mux_services_register(MuxServices *services, MuxService *service, MuxControl *registrant,
                          json_object *holder, bool privileged, GError **error);
// Takes back what that connection registered: one of them, or all with NULL. False when it has no
// such.
bool mux_services_unregister(MuxServices *services, MuxControl *registrant, const char *name);
// Ends those registrations that their connection may not have any more.
void mux_services_review(MuxServices *services, bool (*may)(const MuxService *service));
// How many services programs have registered; those of one connection, or all with NULL.
unsigned mux_services_registered(const MuxServices *services, const MuxControl *registrant);

MuxService *mux_services_find(const MuxServices *services, const char *name, size_t length);
unsigned mux_services_count(const MuxServices *services);
// All of them, sorted by name; to be freed with g_list_free().
GList *mux_services_sorted(const MuxServices *services);
// The same as JSON: [{"service": …, "connect", "exec" or "accept": …, …}]. The caller's.
json_object *mux_services_json(const MuxServices *services);

// Starts an exec service's handler with that environment, counted in `use`, with `fd`, a socket, as
// its stdin and stdout; `fd` remains the caller's. 0, or a negative errno. *link is set to NULL
// when the handler ends before mux_child_leave().
int mux_service_spawn(MuxServices *services, MuxService *service, MuxUse *use,
                      const char *const *environment, int fd, MuxChild **link);
// Its channel is gone; `ask` it to end, if it does not by itself. NULL is fine.
void mux_child_leave(MuxChild *child, bool ask);
