// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Control connections, `@control`: one JSON object a line in, one out.
//
//     {"verb": "status"}  ->  {"ok": true, …}
//     anything else       ->  {"ok": false, "error": {"code": "…", "text": "…"}}
//
// Between the answers there may be events, {"event": …}, for those who asked for them, and for
// those who registered a service.
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "peer.h"
#include "relay.h"

typedef struct MuxControls MuxControls;
typedef struct MuxControl MuxControl;

MuxControls *mux_controls_new(MuxRelay *relay);
// Closes them all. NULL is fine; returns NULL.
MuxControls *mux_controls_free(MuxControls *controls);
// Makes a control connection of the socket, which is the controls' from now on, as is what `peer`
// owns. `answers`: OK comes first.
void mux_control_add(MuxControls *controls, int fd, bool answers, MuxPeer *peer);

// --- events for subscribers

// Some want to hear of all buffers, some of those of one application.
typedef enum MuxListeners {
    MUX_LISTENERS_ALL,    // all whom it concerns
    MUX_LISTENERS_OF_ANY, // only those who want to hear of all
    MUX_LISTENERS_OF_ONE, // only those who want to hear of that application's
} MuxListeners;

// Who may see an event, and how much of it.
typedef struct MuxAudience {
    const char *service; // only those whom the policy lets open it; NULL: everybody
    const char *name;    // what "service" is for the owner and for privileged users; NULL: the same
    uid_t owner;
    const struct MuxBuffer *buffer; // only those who may open it; NULL: everybody
    MuxListeners listeners;         // and of those only these
    const char *application;        // the buffer's, or NULL
} MuxAudience;

// Whether anybody subscribes to that topic (events.h).
bool mux_controls_want(const MuxControls *controls, unsigned topic);
// Sends an event, which is used up, to all subscribers. `audience` NULL: everybody may see it.
void mux_controls_publish(MuxControls *controls, unsigned topic, json_object *event,
                          const MuxAudience *audience);

// The same for one of them, in two steps.
bool mux_control_may_see(const MuxControl *control, const MuxAudience *audience);
void mux_control_tell(MuxControl *control, json_object *event);

// What subscribers of that topic know may not be so any more: they are told that events are lost.
void mux_controls_ask_anew(MuxControls *controls, unsigned topic);

// --- what verbs and services do with one

MuxRelay *mux_control_relay(const MuxControl *control);
const MuxPeer *mux_control_peer(const MuxControl *control);
// `application`: of buffers, only those with that property; NULL: all.
void mux_control_subscribe(MuxControl *control, unsigned topics, const char *application);
// Whether the policy lets its user register a service of that name.
bool mux_control_may_register(const MuxControl *control, const char *service);
// How many services the same user's connections have registered.
unsigned mux_control_registered(const MuxControl *control);

// Whether it has read what it was sent before, so that a descriptor can be sent to it.
bool mux_control_takes(const MuxControl *control);

#define MUX_CONTROL_BUSY 1 // what it was sent before has not been read yet

// Sends an event, which is used up, with a descriptor, which stays the caller's. 0, the above, or a
// negative errno.
int mux_control_hand(MuxControl *control, json_object *event, int fd);
// Tells it that one of its registrations has ended.
void mux_control_unregistered(MuxControl *control, const char *service, const char *why);
