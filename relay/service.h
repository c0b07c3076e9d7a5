// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One service: a name, what its channels are joined to, who may have how many, and what it says of
// itself. It comes from a file or from a registration.
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "address.h"
#include "proto/bucket.h"
#include "proto/list.h"

// What one VM has of one service: no VM can use up what the others may have.
typedef struct MuxUse {
    guint32 channels;   // now
    guint32 connecting; // of them, whose handler is not there yet
    guint32 children;   // handlers that run, also those whose channel has ended
    MuxBucket opens;    // while max_opens is set
    MuxList waiting;    // of MuxJoint.waits, in the order in which they came: see waiting.h
    MuxList line;       // in MuxWaiting.lines, while somebody waits
    uint64_t due_us;    // when the first of them is tried again
    uint32_t pause_us;  // until then, where nobody knew when it would make sense
} MuxUse;

typedef enum MuxServiceKind {
    MUX_SERVICE_CONNECT, // the daemon connects to `address`
    MUX_SERVICE_EXEC,    // it starts `argv`
    MUX_SERVICE_ACCEPT,  // it hands the registrant a descriptor
} MuxServiceKind;

// What a handler is told before the stream begins.
typedef enum MuxPreamble {
    MUX_PREAMBLE_NONE,
    MUX_PREAMBLE_JSON,  // a line
    MUX_PREAMBLE_PROXY, // HAProxy's PROXY protocol, version 2
} MuxPreamble;

typedef struct MuxControl MuxControl;

// Counted references: a channel keeps its service, although a reload replaced it.
typedef struct MuxService {
    char *name;
    char *file;             // where it is defined; NULL for a registration
    MuxControl *registrant; // the connection that registered it; NULL for a file, and when the
                            // registration has ended
    json_object *holder;    // who registered it, for people; or NULL
    MuxServiceKind kind;
    MuxPreamble preamble;
    char *target;         // "unix:PATH", "tcp:HOST:PORT", the command, or "fd"
    MuxAddress address;   // connect
    char **argv;          // exec
    char **vms;           // patterns; NULL for all
    guint32 max_channels; // of each VM
    guint32 max_opens;    // a second, of each VM; 0: no limit
    GHashTable *uses;     // by the VM's name: MuxUse
    char *description;
    json_object *properties; // of strings
} MuxService;

// What a service says of itself, to be shown on either side. Bounded: 32 properties, 4 KiB in all.
typedef struct MuxFacts {
    char *description;       // never NULL once read
    json_object *properties; // neither
    size_t size;             // bytes of both
} MuxFacts;

// Takes "description" and "properties" from an object. False with an error that names the key.
bool mux_facts_read(json_object *object, MuxFacts *ret_facts, GError **error);
// Adds both to an object.
void mux_facts_add(json_object *object, const char *description, json_object *properties);

// Reads a service from the object that a file has. The file must have the service's name. NULL with
// an error that names the file and the key.
MuxService *mux_service_load(const char *file, GError **error);
// The same from a registration's object, in which "verb" may stand besides.
MuxService *mux_service_register(json_object *object, GError **error);

MuxService *mux_service_ref(MuxService *service);
void mux_service_unref(MuxService *service);

// `fresh` is what `service` is from now on; the channels that there are go on being counted. Frees
// the reference to `fresh`.
void mux_service_replace(MuxService *service, MuxService *fresh);
// Whether both say the same of themselves, and to the same VMs.
bool mux_service_looks_like(const MuxService *a, const MuxService *b);

// Whether a VM may open it.
bool mux_service_allows(const MuxService *service, const char *vm);
// What that VM has of it now; lent by the service.
MuxUse *mux_service_use(MuxService *service, const char *vm);

// What everybody may know: {"service": …, "description": …, "properties": {…}}. The caller's.
json_object *mux_service_facts_json(const MuxService *service);
// All of it, with the handler, the limits, and who holds it.
json_object *mux_service_json(const MuxService *service);
