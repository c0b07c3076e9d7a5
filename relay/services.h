// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Services: names, and the handlers that channels to them are joined to.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "address.h"

// What one VM has of one service: no VM can use up what the others may have.
typedef struct MuxUse {
    guint32 channels;   // now
    guint32 connecting; // of them, whose handler is not there yet
    guint32 children;   // handlers that run, also those whose channel has ended
} MuxUse;

// One service. Counted references: a channel keeps its service, although a reload replaced it.
typedef struct MuxService {
    char *name;
    char *file;           // where it is defined
    char *target;         // "unix:PATH", "tcp:HOST:PORT", or the command
    MuxAddress address;   // connect
    char **argv;          // exec; NULL for connect
    char **vms;           // patterns; NULL for all
    guint32 max_channels; // of each VM
    GHashTable *uses;     // by the VM's name: MuxUse
    char *description;
} MuxService;

typedef struct MuxServices MuxServices;

// A handler that was started for one channel.
typedef struct MuxChild MuxChild;

// A set with nothing in it. Handlers are started with the limit of descriptors that the daemon was
// started with, since its own is more than programs that use select() can bear.
MuxServices *mux_services_new(const struct rlimit *descriptors);
// Ends the handlers that still run. NULL is fine; returns NULL.
MuxServices *mux_services_free(MuxServices *services);

// Reads all NAME.json in `folder` and replaces what is in force. A file that cannot be used is
// logged, and what was loaded from it before stays. False with an error when the folder cannot be
// read; then everything stays.
bool mux_services_load(MuxServices *services, const char *folder, GError **error);

MuxService *mux_services_find(const MuxServices *services, const char *name, size_t length);
// All, sorted by name: [{"service": …, "connect" or "exec": …, "channels": …, …}]. The caller's.
json_object *mux_services_json(const MuxServices *services);

MuxService *mux_service_ref(MuxService *service);
void mux_service_unref(MuxService *service);
// Whether a VM may open it.
bool mux_service_allows(const MuxService *service, const char *vm);

// What that VM has of it now; lent by the service.
MuxUse *mux_service_use(MuxService *service, const char *vm);

// Starts an exec service's handler, counted in `use`, with a socket as its stdin and stdout; our
// end comes back. 0, or a negative errno. *link is set to NULL when the handler ends before
// mux_child_leave().
int mux_service_spawn(MuxServices *services, MuxService *service, MuxUse *use, MuxChild **link,
                      int *ret_fd);
// Its channel is gone; `ask` it to end, if it does not by itself. NULL is fine.
void mux_child_leave(MuxChild *child, bool ask);
